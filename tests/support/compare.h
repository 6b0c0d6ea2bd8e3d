// Comparisons that a NaN cannot pass: the test is !(difference <= bound), never difference > bound.
#pragma once
#include <cmath>
#include <cstdint>
#include <cstring>
#include <span>
#include <sstream>
#include <string>

namespace penstock {

// What a sum should be, and the sum of its terms' absolute values: rounding errors are a share of the latter. `slack`:
// what may be lost beside that.
struct Expected {
  double value = 0;
  double magnitude = 0;
  double slack = 0;
  void add(double term) { value += term, magnitude += std::abs(term); }
};

// Empty when every got[i] is within `relative` magnitudes, and `of_value` of itself, of its value (and every value is
// finite), else a sentence about the first that is not.
inline std::string difference(std::span<const float> got, std::span<const Expected> want, double relative,
                              double of_value = 0) {
  std::ostringstream text;
  if (got.size() != want.size()) {
    text << got.size() << " values instead of " << want.size();
    return text.str();
  }
  for (size_t i = 0; i < got.size(); ++i) {
    double bound = relative * want[i].magnitude + of_value * std::abs(want[i].value) + want[i].slack;
    if (!(std::abs(got[i] - want[i].value) <= bound)) {
      text << "at " << i << " of " << got.size() << ": " << got[i] << " instead of " << want[i].value << " ± " << bound;
      return text.str();
    }
  }
  return {};
}

// Empty when the bits are the same, which two NaNs may be.
inline std::string bit_difference(std::span<const float> got, std::span<const float> want) {
  std::ostringstream text;
  if (got.size() != want.size()) {
    text << got.size() << " values instead of " << want.size();
    return text.str();
  }
  for (size_t i = 0; i < got.size(); ++i) {
    if (std::memcmp(&got[i], &want[i], sizeof(float)) == 0) continue;
    text << "at " << i << " of " << got.size() << ": " << std::hexfloat << got[i] << " instead of " << want[i];
    return text.str();
  }
  return {};
}

}  // namespace penstock
