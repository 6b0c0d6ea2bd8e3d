// What a search for a filter's cut tells ids apart by, and what they count.
#pragma once
#include "kernels/cuda/logits.cuh"

namespace penstock::cuda {

// A stretch of a row in the order of its ids by value: by the bits of their weight, then by value and id.
struct Band {
  uint32_t weight_low = 0, weight_high = UINT32_MAX;
  uint64_t key_low = 0, key_high = UINT64_MAX;

  __device__ static uint64_t key_of(float scaled, int32_t id) {
    return static_cast<uint64_t>(ordered_bits(scaled)) << 32 | (UINT32_MAX - static_cast<uint32_t>(id));
  }
  __device__ bool precedes(uint32_t weight, uint64_t key) const {  // it comes behind the id
    return weight > weight_high || (weight >= weight_low && key > key_high);
  }
  __device__ bool holds(uint32_t weight, uint64_t key) const {
    return weight >= weight_low && weight <= weight_high && key >= key_low && key <= key_high;
  }
};

// What a level of a search sorts its ids into bins by. The first level takes kWeightShift.
struct Digit {
  bool of_key;  // else of the weight
  int shift, bits;
};
constexpr int kLevels = 7;  // after the first: what is left of the weight, the value, the id
constexpr int kKeyLevels = 2;
__device__ inline Digit digit_of(int level) {
  if (level < kKeyLevels) return {false, level == 0 ? 6 : 0, level == 0 ? 11 : 6};
  constexpr int kValueBits = 32, kBits = 11;
  if (level < 5) return {true, max(64 - kBits * (level - 1), kValueBits), level < 4 ? kBits : 10};
  return {true, level == 5 ? kBits : 0, kBits};
}
constexpr int kWeightShift = 17;  // level 0: a weight's exponent and six bits more, from 2^-32 on
constexpr uint32_t kFirstBin = ((127 - 32) << 6) + 1;

// A bin's masses add up in 32 bits; unit_of() is what one is worth.
constexpr int kMassShift = 8;  // so that 2^15 masses of 24 bits fit

__device__ inline uint32_t mass_of(uint32_t weight) {
  return ((weight & 0x7FFFFF) + 0x800000 + (1 << (kMassShift - 1))) >> kMassShift;
}
__device__ inline double unit_of(uint32_t weight) {  // of weights with that exponent
  const int exponent = static_cast<int>(weight >> 23) - 127 - 23 + kMassShift;
  return __hiloint2double((exponent + 1023) << 20, 0);
}

}  // namespace penstock::cuda
