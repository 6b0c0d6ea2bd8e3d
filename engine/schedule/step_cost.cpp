#include "engine/schedule/step_cost.h"

#include <algorithm>
#include <bit>

namespace penstock {

double StepCost::Recent::median() const {
  std::array<double, kKept> sorted = last_;
  const auto end = sorted.begin() + std::min<int64_t>(count_, kKept);
  const auto middle = sorted.begin() + (end - sorted.begin() - 1) / 2;
  std::nth_element(sorted.begin(), middle, end);
  return *middle;
}

int64_t StepCost::size_class(int64_t tokens) {
  if (tokens <= 16) return tokens;
  const auto step = static_cast<int64_t>(std::bit_floor(static_cast<uint64_t>(tokens - 1))) / 8;
  return (tokens + step - 1) / step * step;
}

void StepCost::observe(int64_t tokens, double seconds) {
  sizes_[size_class(tokens)].add(seconds);
}

double StepCost::beyond(int64_t tokens) const {
  const auto& [size, recent] = *sizes_.rbegin();
  const double most = recent.median();
  constexpr int64_t kFew = 16;
  if (tokens <= size + kFew) return most;
  // Not a close one: the line's slope would be noise.
  for (auto other = std::next(sizes_.rbegin()); other != sizes_.rend(); ++other) {
    if (other->first * 8 > size * 7) continue;
    const double slope = std::max(0.0, most - other->second.median()) / static_cast<double>(size - other->first);
    return most + slope * static_cast<double>(tokens - size);
  }
  return most * std::max(1.0, static_cast<double>(tokens) / static_cast<double>(2 * size));
}

double StepCost::seconds(int64_t tokens) const {
  if (sizes_.empty()) return 0;
  const auto above = sizes_.lower_bound(size_class(tokens));
  if (above == sizes_.end()) return beyond(tokens);
  if (above->first == size_class(tokens) || above == sizes_.begin()) return above->second.median();
  const auto below = std::prev(above);
  const double low = below->second.median(), high = std::max(low, above->second.median());
  return low +
         (high - low) * static_cast<double>(tokens - below->first) / static_cast<double>(above->first - below->first);
}

}  // namespace penstock
