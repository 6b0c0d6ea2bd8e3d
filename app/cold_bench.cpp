#include "app/cold_bench.h"

#include <algorithm>
#include <cstdio>
#include <random>

#include "engine/stage_timer.h"

namespace penstock {
namespace {

constexpr int64_t kColdBytes = 256 << 20;  // a turn through all copies: larger than a GPU's cache
constexpr int64_t kTileValues = 8 << 20;   // random values are repeated after so many

std::vector<uint16_t> random_tile() {
  std::mt19937 random(1);
  std::normal_distribution<float> normal;
  std::vector<uint16_t> tile(kTileValues);
  for (uint16_t& value : tile) value = f32_to_bf16(normal(random));
  return tile;
}

}  // namespace

ColdBench::ColdBench(const EngineConfig& config)
    : backend_(make_backend({.device = config.device,
                             .index = config.device_of(0, 0),
                             .dtype = config.dtype,
                             .kernels = config.kernels})),
      tile_(random_tile()),
      roof_(backend_->measure_roofline()) {
  backend_->set_autotune(true);
  std::printf("matmul 8192 x 8192 x 8192: %.1f TFLOP/s, copies: %.2f TB/s\n", roof_.flops * 1e-12,
              roof_.memory_bytes * 1e-12);
  std::printf("%-14s %-30s %10s %9s %8s  %s\n", "op", "shape", "us", "TFLOP/s", "TB/s", "of the roofline");
}

// Of one call, in a graph of many.
double ColdBench::seconds_of(const std::function<void(int64_t)>& call, int64_t copies) {
  constexpr double kWanted = 0.02;
  call(0);
  backend_->synchronize();
  double start = monotonic_seconds();
  call(1 % copies);
  backend_->synchronize();
  const double one = std::max(monotonic_seconds() - start, 2e-6);
  const int64_t turns = std::clamp<int64_t>(static_cast<int64_t>(kWanted / one / static_cast<double>(copies)), 1, 64);
  const int64_t calls = turns * copies;
  const auto graph = backend_->record([&] {
    for (int64_t i = 0; i < calls; ++i) call(i % copies);
  });
  std::vector<double> times;
  for (int round = 0; round < 6; ++round) {
    start = monotonic_seconds();
    graph->replay();
    backend_->synchronize();
    if (round > 0) times.push_back((monotonic_seconds() - start) / static_cast<double>(calls));
  }
  std::sort(times.begin(), times.end());
  return times[times.size() / 2];
}

void ColdBench::row(const std::string& op, const std::string& shape, const Work& work, int64_t copies,
                    const std::function<void(int64_t)>& call) {
  const double seconds = seconds_of(call, copies);
  std::printf("%-14s %-30s %10.1f %9.1f %8.2f  %5.1f %% (%s)\n", op.c_str(), shape.c_str(), seconds * 1e6,
              work.flops / seconds * 1e-12, work.bytes() / seconds * 1e-12, 100 * least_seconds(work, roof_) / seconds,
              arithmetic_seconds(work, roof_) > bytes_seconds(work, roof_) ? "FLOPs" : "bytes");
  std::fflush(stdout);
}

int64_t ColdBench::copies_of(double bytes) {
  return std::clamp<int64_t>(static_cast<int64_t>(static_cast<double>(kColdBytes) / bytes) + 1, 2, 64);
}

DeviceBuffer ColdBench::random_memory(int64_t values) {
  DeviceBuffer buffer = backend_->allocate(values * 2);
  for (int64_t at = 0; at < values; at += kTileValues)
    backend_->upload(buffer.as<uint16_t>() + at, tile_.data(), std::min(kTileValues, values - at) * 2);
  return buffer;
}

Tensor ColdBench::random_rows(int64_t rows, int64_t cols) {
  kept_.push_back(random_memory(rows * cols));
  return kept_.back().matrix(DType::bf16, rows, cols);
}
std::vector<Tensor> ColdBench::random_rows(int64_t count, int64_t rows, int64_t cols) {
  std::vector<Tensor> all;
  for (int64_t i = 0; i < count; ++i) all.push_back(random_rows(rows, cols));
  return all;
}

Weight ColdBench::random_weight(int64_t out_features, int64_t in_features) {
  Weight weight = backend_->allocate_weight(out_features, in_features, DType::bf16);
  weight.storage = random_memory(out_features * in_features);
  return weight;
}

DeviceBuffer ColdBench::random_floats(int64_t count, float scale) {
  std::vector<float> values(count);
  for (int64_t i = 0; i < count; ++i) values[i] = scale * bf16_to_f32(tile_[i % kTileValues]);
  DeviceBuffer buffer = backend_->allocate(count * 4);
  backend_->upload(buffer.data(), values.data(), count * 4);
  return buffer;
}

DeviceBuffer ColdBench::shuffled(int64_t range, int64_t count) {
  std::vector<int32_t> numbers(range);
  for (int64_t i = 0; i < range; ++i) numbers[i] = static_cast<int32_t>(i);
  std::shuffle(numbers.begin(), numbers.end(), std::mt19937(1));
  numbers.resize(count);
  DeviceBuffer buffer = backend_->allocate(count * 4);
  backend_->upload(buffer.data(), numbers.data(), count * 4);
  return buffer;
}

}  // namespace penstock
