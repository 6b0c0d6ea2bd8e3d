#include "kernels/cpu/wait.h"

#include <chrono>
#include <thread>

namespace penstock::cpu {
namespace {

constexpr int kHotPolls = 100;  // about 2 µs: longer than the gap between two ops, shorter than a thread switch
constexpr auto kAwake = std::chrono::microseconds(50);

void pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("isb" ::: "memory");
#endif
}

}  // namespace

void wait_for_change(const std::atomic<int>& word, int old) {
  for (int poll = 0; poll < kHotPolls; ++poll) {
    if (word.load(std::memory_order_acquire) != old) return;
    pause();
  }
  auto asleep = std::chrono::steady_clock::now() + kAwake;
  do {
    if (word.load(std::memory_order_acquire) != old) return;
    std::this_thread::yield();
  } while (std::chrono::steady_clock::now() < asleep);
  word.wait(old, std::memory_order_acquire);
}

}  // namespace penstock::cpu
