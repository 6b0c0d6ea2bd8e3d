#include "app/bench_all_reduce.h"

#include <algorithm>
#include <cstdio>
#include <exception>
#include <functional>
#include <limits>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "kernels/communicator.h"

namespace penstock {
namespace {

constexpr int64_t kLeastBytes = 8 << 10, kMostBytes = 128 << 20;
constexpr int64_t kCols = 4096;
constexpr int kRounds = 5;

std::vector<int64_t> sizes() {
  std::vector<int64_t> all;
  for (int64_t bytes = kLeastBytes; bytes <= kMostBytes; bytes *= 2) all.push_back(bytes);
  return all;
}

using Backends = std::vector<std::unique_ptr<Backend>>;

// Of one sum, in seconds: on rank 0's clock, the best of some rounds.
double seconds_of_sum(Backend& backend, Communicator& communicator, const Tensor& x, int calls) {
  communicator.all_reduce_sum(x);
  const auto graph = backend.record([&] {
    for (int i = 0; i < calls; ++i) communicator.all_reduce_sum(x);
  });
  double least = std::numeric_limits<double>::max();
  for (int round = 0; round < kRounds; ++round) {
    communicator.rest();
    const auto begin = backend.mark();
    graph->replay();
    const auto end = backend.mark();
    communicator.rest();
    least = std::min(least, end->seconds_since(*begin) / calls);
  }
  return least;
}

// For each of sizes().
std::vector<double> times_of(const Backends& backends, SumChoice sums, const EngineConfig& config,
                             std::string& description) {
  std::vector<Backend*> ranks;
  for (const auto& backend : backends) ranks.push_back(backend.get());
  const auto communicators = make_communicators(ranks, {.allow_slow = config.allow_slow_tensor_parallel, .sums = sums});
  description = communicators[0]->description();
  std::vector<double> times(sizes().size());
  std::vector<std::exception_ptr> errors(ranks.size());
  std::vector<std::jthread> threads;
  for (size_t r = 0; r < ranks.size(); ++r)
    threads.emplace_back([&, r] {
      try {
        const DeviceBuffer memory = ranks[r]->allocate(kMostBytes);
        ranks[r]->fill_zero(memory.data(), kMostBytes);
        for (size_t i = 0; i < times.size(); ++i) {
          const int64_t bytes = sizes()[i];
          const int calls = bytes < (4 << 20) ? 50 : 10;
          const double seconds =
              seconds_of_sum(*ranks[r], *communicators[r], memory.matrix(DType::bf16, bytes / 2 / kCols, kCols), calls);
          if (r == 0) times[i] = seconds;
        }
        communicators[r]->rest();
      } catch (...) {
        errors[r] = std::current_exception();
        communicators[r]->abort();
      }
    });
  threads.clear();
  for (const std::exception_ptr& error : errors)
    if (error) std::rethrow_exception(error);
  return times;
}

}  // namespace

void bench_all_reduce(const EngineConfig& config) {
  // auto: all that there are.
  const int count = config.tensor_parallel > 0 ? config.tensor_parallel : static_cast<int>(config.devices.size());
  Backends backends;
  for (int r = 0; r < count; ++r)
    backends.push_back(make_backend({.device = config.device, .index = config.device_of(0, r), .dtype = config.dtype}));
  std::string description;
  const std::vector<double> automatic = times_of(backends, SumChoice::automatic, config, description);
  std::printf("%s\n", description.c_str());
  const std::vector<double> own = times_of(backends, SumChoice::own, config, description);
  const std::vector<double> nccl = times_of(backends, SumChoice::nccl, config, description);
  std::printf("%10s %12s %12s %12s %12s %14s\n", "KiB", "default us", "own us", "NCCL us", "NCCL / own",
              "own GB/s (bus)");
  const double ranks = count;
  for (size_t i = 0; i < own.size(); ++i)
    std::printf("%10lld %12.2f %12.2f %12.2f %12.2f %14.1f\n", static_cast<long long>(sizes()[i] >> 10),
                automatic[i] * 1e6, own[i] * 1e6, nccl[i] * 1e6, nccl[i] / own[i],
                static_cast<double>(sizes()[i]) * 2 * (ranks - 1) / ranks / own[i] * 1e-9);
}

}  // namespace penstock
