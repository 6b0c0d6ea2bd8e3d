#include "engine/model/rope_table.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace penstock {
namespace {

using Scaling = RopeConfig::Scaling;

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

// Dimensions that turn more than beta_fast times within the original length are kept, those that turn less than
// beta_slow times are stretched, those between blended.
float scale_yarn(float power, int64_t i, const RopeConfig& rope, int64_t width) {
  auto dimension = [&](double turns) {
    return static_cast<double>(width) *
           std::log(static_cast<double>(rope.original_max_positions) / (turns * 2 * std::numbers::pi)) /
           (2 * std::log(rope.theta));
  };
  double low = dimension(rope.beta_fast), high = dimension(rope.beta_slow);
  if (rope.truncate) low = std::floor(low), high = std::ceil(high);
  low = std::max(low, 0.0), high = std::min(high, static_cast<double>(width - 1));
  if (low == high) high += 0.001;
  const float ramp =
      std::clamp((static_cast<float>(i) - static_cast<float>(low)) / static_cast<float>(high - low), 0.0f, 1.0f);
  const float kept = 1 - ramp;
  return 1.0f / (static_cast<float>(rope.factor) * power) * (1 - kept) + 1.0f / power * kept;
}

float inverse_frequency(const RopeConfig& rope, int64_t width, int64_t i, const std::vector<double>& factors) {
  const float exponent = static_cast<float>(2 * i) / static_cast<float>(width);
  const float power = std::pow(static_cast<float>(rope.theta), exponent);
  switch (rope.scaling) {
    case Scaling::none:
      return 1.0f / power;
    case Scaling::linear:
      return 1.0f / power / static_cast<float>(rope.factor);
    case Scaling::llama3:
      return scale_llama3(1.0f / power, rope);
    case Scaling::yarn:
      return scale_yarn(power, i, rope, width);
    case Scaling::longrope:
      return 1.0f / (static_cast<float>(factors[i]) * power);
  }
  return 0;
}

// Positions [0, count) at `table`.
void fill(const RopeConfig& rope, const std::vector<double>& factors, int64_t width, int64_t count, float* table) {
  const int64_t half = width / 2;
  const auto scale = static_cast<float>(rope.attention_factor);
  std::vector<float> frequency(half);
  for (int64_t i = 0; i < half; ++i) frequency[i] = inverse_frequency(rope, width, i, factors);
  for (int64_t p = 0; p < count; ++p) {
    for (int64_t i = 0; i < half; ++i) {
      const float angle = static_cast<float>(p) * frequency[i];
      table[p * width + i] = std::cos(angle) * scale;
      table[p * width + half + i] = std::sin(angle) * scale;
    }
  }
}

}  // namespace

RopeLayout::RopeLayout(const ModelConfig& model, int64_t max_context)
    : width(rotary_dim(model.rope, model.head_dim)), entries(max_context) {
  if (model.rope.scaling == Scaling::longrope && max_context > model.rope.original_max_positions) {
    long_from = long_begin = model.rope.original_max_positions;
    entries = long_begin + max_context;
  }
  if (std::any_of(model.layer.begin(), model.layer.end(),
                  [](const LayerConfig& layer) { return layer.rope == LayerConfig::Rope::local; })) {
    local_begin = entries;
    entries += max_context;
  }
}

std::vector<float> rope_tables(const ModelConfig& model, int64_t max_context) {
  const RopeLayout layout(model, max_context);
  std::vector<float> tables(layout.entries * layout.width);
  auto at = [&](int64_t entry) { return tables.data() + entry * layout.width; };
  const RopeConfig& rope = model.rope;
  fill(rope, rope.short_factor, layout.width, layout.long_from ? layout.long_from : max_context, at(0));
  if (layout.long_from) fill(rope, rope.long_factor, layout.width, max_context, at(layout.long_begin));
  if (layout.local_begin >= 0) fill(model.local_rope, {}, layout.width, max_context, at(layout.local_begin));
  return tables;
}

}  // namespace penstock
