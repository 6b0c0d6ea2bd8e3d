// The CPU backend's workers. One pool owns a rank's cores: between two ops workers spin shortly, then park.
#pragma once
#include <algorithm>
#include <atomic>
#include <cstdint>
#include <memory>

namespace penstock::cpu {

// A non-owning reference to a callable: what a parallel region runs. No allocation.
template <class Signature>
class FunctionRef;
template <class R, class... A>
class FunctionRef<R(A...)> {
 public:
  template <class F>
  FunctionRef(F& f) : object_(&f), call_([](void* o, A... a) -> R { return (*static_cast<F*>(o))(a...); }) {}
  R operator()(A... a) const { return call_(object_, a...); }

 private:
  void* object_;
  R (*call_)(void*, A...);
};

class ThreadPool {
 public:
  explicit ThreadPool(int threads);  // >= 1; the caller of run() is worker 0
  ~ThreadPool();
  int size() const;

  // Calls body(worker) once for each worker in [0, size()), concurrently; returns when all are done. Not reentrant.
  // An op must not throw inside.
  void run(FunctionRef<void(int)> body);

  // Splits [0, count) into at most size() contiguous ranges whose borders are multiples of `grain`, and calls
  // body(begin, end) for each non-empty one. Runs inline when there is only one.
  template <class F>
  void parallel_for(int64_t count, int64_t grain, F&& body) {
    int64_t grains = (count + grain - 1) / grain;
    int64_t parts = std::min<int64_t>(size(), grains);
    if (parts <= 1) {
      if (count > 0) body(int64_t{0}, count);
      return;
    }
    auto part = [&](int worker) {
      int64_t begin = grains * worker / parts * grain, end = std::min(count, grains * (worker + 1) / parts * grain);
      if (worker < parts && begin < end) body(begin, end);
    };
    run(part);
  }

  // Memory for one op between its regions; the next call may give the same again. Grows, never shrinks: a steady state
  // allocates nothing. Page aligned, contents undefined. Called by the thread that calls run().
  void* scratch(int64_t bytes);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace penstock::cpu
