// Which step sizes get a graph of their own: fine enough that padding stays small, few enough to capture.
#pragma once
#include <algorithm>
#include <cstdint>
#include <vector>

namespace penstock {

// Ascending: 1, 2, 4, 8, 16, every 8 to 64, every 32 to 512, then an eighth of the power of two below; the last is
// `largest` itself. From 16 on a step pads by less than a third, from 64 on by less than an eighth.
inline std::vector<int64_t> graph_buckets(int64_t largest) {
  std::vector<int64_t> buckets;
  auto step_after = [](int64_t size) -> int64_t {
    if (size < 16) return size;
    if (size < 64) return 8;
    if (size < 512) return 32;
    int64_t power = 512;
    while (power * 2 <= size) power *= 2;
    return power / 8;
  };
  for (int64_t size = 1; size < largest; size += step_after(size)) buckets.push_back(size);
  buckets.push_back(largest);
  return buckets;
}

// The smallest bucket that holds `count` (1 <= count <= buckets.back()).
inline int64_t bucket_for(const std::vector<int64_t>& buckets, int64_t count) {
  return *std::lower_bound(buckets.begin(), buckets.end(), count);
}

}  // namespace penstock
