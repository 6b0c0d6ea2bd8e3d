#include <algorithm>
#include <chrono>

#include "kernels/cpu/cpu_backend.h"

namespace penstock::cpu {
namespace {

constexpr int64_t kFmaRounds = 1 << 16;
constexpr int64_t kColdBytes = 256 << 20;  // larger than the caches of most machines
constexpr int64_t kWarmBytes = 256 << 10;  // of each worker: in its own second-level cache
constexpr int kWarmPasses = 64;            // so that waking the workers counts little
constexpr int kRounds = 3;                 // on a machine with other work, one may go by without a quiet moment
constexpr double kBudget = 0.03;           // seconds of a measurement

// Of the fastest of at least three calls, after one that is not counted: whatever else the machine does can only
// lengthen a call.
template <class Call>
double least_seconds(Call call) {
  using Clock = std::chrono::steady_clock;
  call();
  double least = 1e9, total = 0;
  for (int calls = 0; calls < 3 || total < kBudget; ++calls) {
    const auto start = Clock::now();
    call();
    const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
    least = std::min(least, seconds);
    total += seconds;
  }
  return least;
}

}  // namespace

Roofline CpuBackend::measure_roofline() {
  if (memory_bytes() < 2 * kColdBytes) throw Error(ExitCode::no_device, "too little memory to measure its bandwidth");
  const int64_t warm = kWarmBytes * pool_.size();
  const DeviceBuffer data = allocate(kColdBytes);
  fill_zero(data.data(), kColdBytes);
  Roofline roof;
  for (int round = 0; round < kRounds; ++round) {
    int64_t flops = 0;
    const double arithmetic = least_seconds([&] { flops = ops_.multiply_add(pool_, precision_, kFmaRounds); });
    const double memory = least_seconds([&] { ops_.read_memory(pool_, data.as<float>(), kColdBytes / 4, 1); });
    const double cache = least_seconds([&] { ops_.read_memory(pool_, data.as<float>(), warm / 4, kWarmPasses); });
    roof.flops = std::max(roof.flops, static_cast<double>(flops) / arithmetic);
    roof.memory_bytes = std::max(roof.memory_bytes, kColdBytes / memory);
    roof.cache_bytes = std::max(roof.cache_bytes, static_cast<double>(kWarmPasses * warm) / cache);
  }
  return roof;
}

}  // namespace penstock::cpu
