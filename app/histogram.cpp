#include "app/histogram.h"

#include <algorithm>
#include <cmath>

namespace penstock {

namespace {
constexpr double kSmallest = 1e-6;
}

void Histogram::add(double seconds) {
  const double octaves = std::log2(std::max(seconds, kSmallest) / kSmallest);
  ++counts_[std::min(static_cast<int>(octaves * kPerOctave), kBuckets - 1)];
  ++count_;
  sum_ += seconds;
  max_ = std::max(max_, seconds);
}

double Histogram::percentile(double fraction) const {
  const auto wanted = static_cast<int64_t>(std::ceil(fraction * static_cast<double>(count_)));
  int64_t seen = 0;
  for (int i = 0; i < kBuckets; ++i) {
    seen += counts_[i];
    if (seen >= wanted && seen > 0) return std::min(max_, kSmallest * std::exp2((i + 0.5) / kPerOctave));
  }
  return 0;
}

}  // namespace penstock
