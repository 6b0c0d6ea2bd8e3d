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

Histogram::Counts Histogram::counts() const {
  Counts result;
  if (count_ == 0) return result;
  const auto is_used = [](int64_t count) { return count > 0; };
  const auto first = std::find_if(counts_.begin(), counts_.end(), is_used) - counts_.begin();
  const auto end = counts_.rend() - std::find_if(counts_.rbegin(), counts_.rend(), is_used);
  for (auto i = first; i <= end; ++i)
    result.edges.push_back(kSmallest * std::exp2(static_cast<double>(i) / kPerOctave));
  result.counts.assign(counts_.begin() + first, counts_.begin() + end);
  return result;
}

}  // namespace penstock
