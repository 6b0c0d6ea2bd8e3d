#include "kernels/cpu/thread_pool.h"

#include <cstdlib>
#include <new>
#include <thread>
#include <vector>

#include "kernels/cpu/wait.h"

namespace penstock::cpu {

// A region is announced by a new epoch and is over when `running` is back at zero. Both words have a cache line of
// their own, so that a worker that finishes does not disturb those that still poll.
struct ThreadPool::Impl {
  alignas(64) std::atomic<int> epoch{0};
  alignas(64) std::atomic<int> running{0};
  alignas(64) const FunctionRef<void(int)>* body = nullptr;  // written before the epoch; null: the workers end
  std::vector<std::thread> workers;
  void* scratch = nullptr;
  int64_t scratch_bytes = 0;

  void announce(const FunctionRef<void(int)>* next) {
    body = next;
    running.store(static_cast<int>(workers.size()), std::memory_order_relaxed);
    epoch.fetch_add(1, std::memory_order_release);
    epoch.notify_all();
  }

  void work(int worker) {
    for (int seen = 0;; ++seen) {
      wait_for_change(epoch, seen);
      if (!body) return;
      (*body)(worker);
      if (running.fetch_sub(1, std::memory_order_acq_rel) == 1) running.notify_one();
    }
  }
};

ThreadPool::ThreadPool(int threads) : impl_(std::make_unique<Impl>()) {
  impl_->workers.reserve(threads - 1);
  for (int worker = 1; worker < threads; ++worker)
    impl_->workers.emplace_back([impl = impl_.get(), worker] { impl->work(worker); });
}

ThreadPool::~ThreadPool() {
  impl_->announce(nullptr);
  for (std::thread& worker : impl_->workers) worker.join();
  std::free(impl_->scratch);
}

int ThreadPool::size() const { return static_cast<int>(impl_->workers.size()) + 1; }

void ThreadPool::run(FunctionRef<void(int)> body) {
  if (impl_->workers.empty()) return body(0);
  impl_->announce(&body);
  body(0);
  for (int left; (left = impl_->running.load(std::memory_order_acquire)) != 0;) wait_for_change(impl_->running, left);
}

void* ThreadPool::scratch(int64_t bytes) {
  if (bytes > impl_->scratch_bytes) {
    std::free(impl_->scratch);
    impl_->scratch_bytes = (bytes + 4095) / 4096 * 4096;
    impl_->scratch = std::aligned_alloc(4096, impl_->scratch_bytes);
    if (!impl_->scratch) throw std::bad_alloc();
  }
  return impl_->scratch;
}

}  // namespace penstock::cpu
