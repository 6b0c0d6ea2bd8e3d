// kernels/random.h in vectors.
#pragma once
#include "kernels/cpu/vector.h"
#include "kernels/random.h"

namespace penstock::cpu::PENSTOCK_ISA {

// The key of one draw; words(first) are the random words of ids [first, first + kBatch), in order.
class RandomBatch {
 public:
  static constexpr int kBatch = 4 * kLanes;

  RandomBatch(uint64_t seed, int32_t choice, int32_t position, RandomUse use)
      : seed_(seed), choice_(choice), position_(position), use_(use) {
    // After the transposition below, lane 4 i + k's four words end up in part i of vector k.
    for (int lane = 0; lane < kLanes; lane++) lane_block_[lane] = lane % 4 * (kLanes / 4) + lane / 4;
  }

  struct Words {
    UintVec part[4];
  };
  Words words(int64_t first) const {
    UintVec c0 = lane_block_ + static_cast<uint32_t>(first / 4), c1 = splat_bits(static_cast<uint32_t>(position_));
    UintVec c2 = splat_bits(static_cast<uint32_t>(choice_)), c3 = splat_bits(static_cast<uint32_t>(use_));
    uint32_t key0 = static_cast<uint32_t>(seed_), key1 = static_cast<uint32_t>(seed_ >> 32);
    for (int round = 0; round < Philox::kRounds; round++) {
      WideProduct product0 = multiply_wide(c0, Philox::kMultiply0), product1 = multiply_wide(c2, Philox::kMultiply1);
      c0 = product1.high ^ c1 ^ key0, c1 = product1.low;
      c2 = product0.high ^ c3 ^ key1, c3 = product0.low;
      key0 += Philox::kBump0, key1 += Philox::kBump1;
    }
    Vec a = bit_cast_to<Vec>(c0), b = bit_cast_to<Vec>(c1), c = bit_cast_to<Vec>(c2), d = bit_cast_to<Vec>(c3);
    transpose_quads(a, b, c, d);
    return {{bit_cast_to<UintVec>(a), bit_cast_to<UintVec>(b), bit_cast_to<UintVec>(c), bit_cast_to<UintVec>(d)}};
  }

 private:
  uint64_t seed_;
  int32_t choice_, position_;
  RandomUse use_;
  UintVec lane_block_;
};

inline Vec unit_interval(UintVec words) {
  constexpr float kLargest = 0x1.fffffep-1f;
  Vec w = (__builtin_convertvector(words, Vec) + 0.5f) * 0x1p-32f;
  return w < kLargest ? w : splat(kLargest);
}

// -log(-log(1 - w)); 1 - w is rounded, and what it lost is put back to first order.
inline Vec gumbel(Vec w) {
  Vec rest = 1.0f - w, lost = (1.0f - rest) - w;
  return -log(-(log(rest) + lost / rest));
}

// Not below gumbel(w), and cheap: -log(1 - w) >= w, and a float's bits, read as a fixed-point number, are a chord below
// its base-2 logarithm.
inline Vec gumbel_bound(Vec w) {
  constexpr float kLn2 = 0.69314718f, kMargin = 1e-3f;  // above all rounding errors
  return (127 * kLn2 + kMargin) - __builtin_convertvector(bit_cast_to<IntVec>(w), Vec) * (kLn2 * 0x1p-23f);
}

}  // namespace penstock::cpu::PENSTOCK_ISA
