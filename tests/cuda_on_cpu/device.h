// A device of threads that are fibers of one CPU thread, so that kernels which need no GPU's speed can be tested where
// there is none. Threads run in random order, each until it waits for others, and one as late as it can; copies and
// messages arrive at random moments. Memory is that of the CPU: a write is seen at once, so what only a fence would
// show is not found here.
//
// Kernels are compiled as C++ with device_code.h, and with this folder's headers in the place of those whose bodies are
// PTX.
#pragma once
#include <vector_types.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <random>
#include <vector>

namespace penstock::cuda_on_cpu {

constexpr int kLanes = 32;

struct Warp;
struct Block;

// A thread of the device.
struct Thread {
  void* stack_pointer = nullptr;  // while it does not run
  Block* block = nullptr;
  Warp* warp = nullptr;
  unsigned number = 0;  // within its block
  bool has_ended = false;
};

// Threads that wait until so many have come.
struct Meeting {
  int arrived = 0;
  std::vector<Thread*> waiting;
};

struct Warp {
  Meeting meeting;
  const char* what = nullptr;  // its lanes do together
  std::array<uint64_t, kLanes> given, got;
};

struct Block {
  int rank = 0;    // within its cluster
  uint3 number{};  // within the grid
  std::unique_ptr<char[]> memory;
  char* shared = nullptr;  // dynamic shared memory, aligned to 128
  std::vector<Warp> warps;
  Meeting meeting;
  int count = 0, result = 0;  // of threads that came with a true value: so far; of the last meeting
};

// An mbarrier. A phase is complete when all arrivals have come and all bytes that they expect.
class PhaseBarrier {
 public:
  explicit PhaseBarrier(int arrivals) : arrivals_(arrivals), missing_(arrivals) {}
  void expect(int64_t bytes);  // and arrives
  void deliver(int64_t bytes);
  void wait(uint32_t parity);  // until the phase of that parity is complete

 private:
  void settle();
  int arrivals_, missing_;
  int64_t bytes_ = 0;
  uint32_t phase_ = 0;
  std::vector<Thread*> waiting_;
};

class Device {
 public:
  explicit Device(uint32_t seed) : random_(seed) {}

  // Runs a grid of clusters, one after the other. Aborts with a message when threads wait for ever, or when lanes of a
  // warp do different things together.
  void run(dim3 grid, int blocks_of_cluster, int threads, size_t shared_bytes, std::function<void()> kernel);

  Thread& current() { return *current_; }
  const dim3& grid() const { return grid_; }
  int threads() const { return threads_; }
  char* shared_of(int rank) { return cluster_.at(rank).shared; }

  // --- what the current thread does with others ---------------------------------------------------------------------

  // Each lane gives a value and gets `result` of what all gave. Whole warps do it; `what` is the same for all lanes.
  template <class Result>
  uint64_t with_warp(const char* what, uint64_t value, Result result) {
    Warp& warp = *current_->warp;
    if (warp.meeting.arrived > 0 && warp.what != what) fail("lanes of a warp do different things together");
    warp.what = what;
    const unsigned lane = current_->number % kLanes;
    warp.given[lane] = value;
    meet(warp.meeting, kLanes, [&] {
      for (int i = 0; i < kLanes; ++i) warp.got[i] = result(warp.given, i);
    });
    return warp.got[lane];
  }
  int with_block(bool value);  // how many threads came with a true one
  void with_cluster();
  PhaseBarrier* make_barrier(int arrivals);
  void deliver_later(std::function<void()> delivery) { deliveries_.push_back(std::move(delivery)); }

  void wait();  // until somebody calls go_on()
  void go_on(std::vector<Thread*>& threads);

 private:
  static void run_thread();
  void run_cluster(uint3 first_block, int blocks, size_t shared_bytes);
  void start(Thread& thread, char* stack);
  Thread* next_thread();
  // Returns when so many have come; the last one calls complete() before.
  template <class Complete>
  void meet(Meeting& meeting, int all, Complete complete) {
    if (++meeting.arrived < all) {
      meeting.waiting.push_back(current_);
      return wait();
    }
    complete();
    meeting.arrived = 0;
    go_on(meeting.waiting);
  }
  [[noreturn]] void fail(const char* what);
  template <class T>
  T take_any(std::vector<T>& from);

  std::mt19937 random_;
  std::function<void()> kernel_;
  dim3 grid_;
  int threads_ = 0;
  std::vector<Block> cluster_;
  std::vector<Thread> all_;
  std::vector<Thread*> ready_;
  std::vector<std::unique_ptr<char[]>> stacks_;
  std::vector<std::unique_ptr<PhaseBarrier>> barriers_;
  std::vector<std::function<void()>> deliveries_;
  Meeting meeting_;  // of the cluster
  Thread *current_ = nullptr, *late_ = nullptr;
  uint64_t steps_ = 0;
  void* stack_pointer_ = nullptr;  // of who called run()
};

// The one whose threads run.
Device& device();

}  // namespace penstock::cuda_on_cpu
