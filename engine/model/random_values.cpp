#include "engine/model/random_values.h"

#include <algorithm>
#include <cmath>

#include "kernels/tensor.h"

namespace penstock {
namespace {

// splitmix64 (Steele, Lea and Flood 2014), its k-th number.
uint64_t random_bits(uint64_t seed, uint64_t k) {
  uint64_t x = seed + k * 0x9E3779B97F4A7C15u;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
  return x ^ (x >> 31);
}

// The normal distribution's quantile of `p`, by bisection: once for all tables.
double normal_quantile(double p) {
  double low = -8, high = 8;
  while (high - low > 1e-9) {
    const double middle = (low + high) / 2;
    (std::erfc(-middle / std::sqrt(2.0)) / 2 < p ? low : high) = middle;
  }
  return (low + high) / 2;
}

std::array<float, RandomValues::kQuantiles> normal_quantiles() {
  std::array<float, RandomValues::kQuantiles> all;
  for (int i = 0; i < RandomValues::kQuantiles; ++i)
    all[i] = static_cast<float>(normal_quantile((i + 0.5) / RandomValues::kQuantiles));
  return all;
}

uint64_t hash_of(std::string_view text) {  // FNV-1a
  uint64_t hash = 0xCBF29CE484222325u;
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001B3u;
  return hash;
}

}  // namespace

RandomValues::RandomValues(std::string_view tensor, float scale) : seed_(hash_of(tensor)) {
  static const std::array<float, kQuantiles> kNormal = normal_quantiles();
  std::transform(kNormal.begin(), kNormal.end(), quantiles_.begin(), [&](float q) { return f32_to_bf16(q * scale); });
}

void RandomValues::fill(int64_t first, std::span<uint16_t> values) const {
  const auto one = [&](uint64_t bits, int64_t lane) { return quantiles_[(bits >> (16 * lane)) % kQuantiles]; };
  int64_t at = first;
  const int64_t end = first + static_cast<int64_t>(values.size());
  uint16_t* out = values.data();
  for (; at < end && at % 4 != 0; ++at) *out++ = one(random_bits(seed_, static_cast<uint64_t>(at / 4)), at % 4);
  for (; at + 4 <= end; at += 4, out += 4) {
    const uint64_t bits = random_bits(seed_, static_cast<uint64_t>(at / 4));
    for (int lane = 0; lane < 4; ++lane) out[lane] = one(bits, lane);
  }
  for (; at < end; ++at) *out++ = one(random_bits(seed_, static_cast<uint64_t>(at / 4)), at % 4);
}

}  // namespace penstock
