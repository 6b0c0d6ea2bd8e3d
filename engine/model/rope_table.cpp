#include "engine/model/rope_table.h"

#include <cmath>
#include <numbers>

namespace penstock {
namespace {

// Long wavelengths are stretched by `factor`, short ones kept, those between blended.
float scale_llama3(float frequency, const RopeConfig& rope) {
  const float wavelength = 2 * std::numbers::pi_v<float> / frequency;
  const auto original = static_cast<float>(rope.original_max_positions);
  const auto factor = static_cast<float>(rope.factor);
  const auto low = static_cast<float>(rope.low_freq_factor), high = static_cast<float>(rope.high_freq_factor);
  if (wavelength > original / low) return frequency / factor;
  if (wavelength < original / high) return frequency;
  const float smooth = (original / wavelength - low) / (high - low);
  return (1 - smooth) * frequency / factor + smooth * frequency;
}

}  // namespace

std::vector<float> rope_table(const RopeConfig& rope, int64_t head_dim, int64_t positions) {
  const int64_t half = head_dim / 2;
  std::vector<float> frequency(half);
  for (int64_t i = 0; i < half; ++i) {
    const float exponent = static_cast<float>(2 * i) / static_cast<float>(head_dim);
    frequency[i] = 1.0f / std::pow(static_cast<float>(rope.theta), exponent);
    if (rope.scaling == RopeConfig::Scaling::llama3) frequency[i] = scale_llama3(frequency[i], rope);
  }
  std::vector<float> table(positions * head_dim);
  for (int64_t p = 0; p < positions; ++p) {
    for (int64_t i = 0; i < half; ++i) {
      const float angle = static_cast<float>(p) * frequency[i];
      table[p * head_dim + i] = std::cos(angle);
      table[p * head_dim + half + i] = std::sin(angle);
    }
  }
  return table;
}

}  // namespace penstock
