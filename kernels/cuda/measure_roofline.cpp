// The limits of a GPU by its own verbs: a large product, and copies that no cache can hold.
#include <algorithm>
#include <random>
#include <vector>

#include "kernels/cuda/cuda_backend.h"

namespace penstock::cuda {
namespace {

constexpr int64_t kSize = 8192;  // of the product's three sides
constexpr int64_t kValues = kSize * kSize;
constexpr int64_t kTileValues = 1 << 20;  // random values are repeated after so many
constexpr int kRounds = 3;

// Zeros would draw less power, and run faster, than any real matrix.
void fill_random(uint16_t* values, int64_t count, Backend& backend) {
  std::mt19937 random(1);
  std::normal_distribution<float> normal;
  std::vector<uint16_t> tile(kTileValues);
  for (uint16_t& value : tile) value = f32_to_bf16(normal(random));
  for (int64_t at = 0; at < count; at += kTileValues) backend.upload(values + at, tile.data(), kTileValues * 2);
}

// Of one of `calls` in a row, on the device's clock; the fastest round after one that is not counted.
template <class Call>
double least_seconds(Backend& backend, int calls, Call call) {
  call();
  double least = 1e9;
  for (int round = 0; round < kRounds; ++round) {
    const auto begin = backend.mark();
    for (int i = 0; i < calls; ++i) call();
    const auto end = backend.mark();
    end->wait();
    least = std::min(least, end->seconds_since(*begin) / calls);
  }
  return least;
}

DeviceBuffer borrowed(uint16_t* values) {
  return {values, kValues * 2, [](void*, int64_t) {}};
}

}  // namespace

Roofline CudaBackend::measure_roofline() {
  const DeviceBuffer memory = allocate(4 * kValues * 2);
  uint16_t* const quarter[4] = {memory.as<uint16_t>(), memory.as<uint16_t>() + kValues,
                                memory.as<uint16_t>() + 2 * kValues, memory.as<uint16_t>() + 3 * kValues};
  fill_random(quarter[0], 3 * kValues, *this);

  Roofline roof;
  const Weight weight{borrowed(quarter[1]), DType::bf16, kSize, kSize};
  const Tensor x{quarter[0], DType::bf16, kSize, kSize, kSize}, out{quarter[3], DType::bf16, kSize, kSize, kSize};
  set_autotune(true);
  roof.flops = 2.0 * kSize * kSize * kSize / least_seconds(*this, 6, [&] { matmul({out, x, weight}); });
  set_autotune(false);

  // K's block 0 onto its block 1, V's likewise: two quarters are read and two written.
  const KvCache cache{quarter[0], quarter[2], DType::bf16, 2, 1, kSize, kSize};
  const std::vector<BlockCopy> copy = {{0, 1}};
  roof.memory_bytes = 4.0 * kValues * 2 / least_seconds(*this, 16, [&] { copy_blocks({cache, copy}); });
  roof.cache_bytes = roof.memory_bytes;
  synchronize();
  return roof;
}

}  // namespace penstock::cuda
