// Percentiles of many durations in a fixed amount of memory.
#pragma once
#include <array>
#include <cstdint>
#include <vector>

namespace penstock {

// Buckets whose bounds grow by 2^(1/8): a percentile is right within 4.5 %. From 1 microsecond to over 4 days; what
// lies outside counts in the first or last bucket. The largest value is kept exactly, and no percentile exceeds it.
class Histogram {
 public:
  void add(double seconds);
  int64_t count() const { return count_; }
  double mean() const { return count_ ? sum_ / static_cast<double>(count_) : 0; }
  double max() const { return max_; }
  // fraction in (0, 1]; 0 seconds when nothing has been added.
  double percentile(double fraction) const;

  // The buckets from the first to the last that holds a value. Bucket i is [edges[i], edges[i + 1]) seconds.
  struct Counts {
    std::vector<double> edges;  // one more than counts; none when nothing has been added
    std::vector<int64_t> counts;
  };
  Counts counts() const;

 private:
  static constexpr int kPerOctave = 8;
  static constexpr int kBuckets = 39 * kPerOctave;
  std::array<int64_t, kBuckets> counts_{};
  int64_t count_ = 0;
  double sum_ = 0, max_ = 0;
};

}  // namespace penstock
