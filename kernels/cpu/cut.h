// Where a filter cuts the ids of a row, most likely first and the lower id first among equals: top-k and top-p keep a
// prefix of that order. The prefix is found by histograms of ever finer range, without sorting.
#pragma once
#include "kernels/cpu/vector.h"

namespace penstock::cpu::PENSTOCK_ISA {

// Keeps ids whose scaled logit is above `lowest`, and those equal to it up to `last_id`.
struct Cut {
  float lowest = -__FLT_MAX__;  // never an id of probability zero
  int32_t last_id = INT32_MAX;
  IntVec keeps(Vec scaled, IntVec ids) const { return (scaled > lowest) | ((scaled == lowest) & (ids <= last_id)); }
};

// Candidates in ascending order of id. mass: what an id counts towards the target.
struct Candidates {
  float* scaled;
  float* mass;
  int32_t* ids;
  int64_t count;
};

struct Bin {
  double mass;
  int64_t count;
};

// The smallest prefix whose mass reaches `target`, at least one id. `left` is overwritten, up to the next multiple of
// kLanes; it must not be empty, nor hold -inf.
inline Cut find_cut(Candidates left, double target) {
  constexpr int kBins = 256;
  double before = 0;  // mass of the ids known to be in the prefix
  for (;;) {
    // The last vector is filled up with one of the candidates, of no mass.
    for (int64_t i = left.count; i % kLanes != 0; i++) left.scaled[i] = left.scaled[0], left.mass[i] = 0;
    Vec lowest = load(left.scaled), highest = lowest;
    for (int64_t i = kLanes; i < left.count; i += kLanes) {
      lowest = min(load(left.scaled + i), lowest);
      highest = max(load(left.scaled + i), highest);
    }
    const float low = -max(-lowest), high = max(highest);
    if (low == high) {
      int64_t last = 0;
      for (before += left.mass[0]; before < target && last + 1 < left.count; before += left.mass[last]) last++;
      return {low, left.ids[last]};
    }
    // Bin 0 holds `high`, the last one `low`, and rounding is monotone: a later bin never holds a larger value.
    float scale = (kBins - 1) / (high - low);
    if (!(scale < 0x1p126f)) scale = 0x1p126f;
    auto bins_of = [&](Vec x) {
      Vec bin = (high - x) * scale;
      return __builtin_convertvector((x > low) & (bin < kBins - 1.0f) ? bin : splat(kBins - 1), IntVec);
    };
    Bin bins[kBins] = {};
    for (int64_t i = 0; i < left.count; i += kLanes) {
      int32_t lanes[kLanes];
      IntVec index = bins_of(load(left.scaled + i));
      std::memcpy(lanes, &index, sizeof lanes);
      for (int lane = 0; lane < kLanes; lane++) {
        bins[lanes[lane]].mass += static_cast<double>(left.mass[i + lane]);
        bins[lanes[lane]].count++;
      }
    }
    int border = 0, last_filled = kBins - 1;  // `low` fills the last bin
    while (border < last_filled && (bins[border].count == 0 || before + bins[border].mass < target))
      before += bins[border++].mass;
    int64_t kept = 0;
    for (int64_t i = 0; i < left.count; i += kLanes) {
      Vec scaled = load(left.scaled + i), mass = load(left.mass + i);
      IntVec ids, lanes = lane_index() + static_cast<int32_t>(i);
      std::memcpy(&ids, left.ids + i, sizeof ids);
      IntVec inside = (bins_of(scaled) == border) & (lanes < static_cast<int32_t>(left.count));
      compress(left.scaled + kept, inside, bit_cast_to<IntVec>(scaled));
      compress(left.mass + kept, inside, bit_cast_to<IntVec>(mass));
      kept += compress(left.ids + kept, inside, ids);
    }
    left.count = kept;
  }
}

}  // namespace penstock::cpu::PENSTOCK_ISA
