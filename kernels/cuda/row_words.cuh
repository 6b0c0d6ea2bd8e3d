// The random words of a row (kernels/random.h), with what is the same for all its ids done once.
#pragma once
#include "kernels/cuda/warp.cuh"
#include "kernels/random.h"

namespace penstock::cuda {

class RowWords {
 public:
  __device__ RowWords(uint64_t seed, int32_t choice, int32_t position) {
    auto key0 = static_cast<uint32_t>(seed), key1 = static_cast<uint32_t>(seed >> 32);
    // The first round, and half of the second, but for what the group changes.
    const uint2 of_choice = multiply_wide(Philox::kMultiply1, static_cast<uint32_t>(choice));
    const uint2 second = multiply_wide(Philox::kMultiply0, of_choice.y ^ static_cast<uint32_t>(position) ^ key0);
    first_ = static_cast<uint32_t>(RandomUse::token) ^ key1;
    key0 += Philox::kBump0, key1 += Philox::kBump1;
    second_[0] = of_choice.x ^ key0, second_[1] = second.y ^ key1, third_ = second.x;
#pragma unroll
    for (int round = 0; round < kRounds; round++) {
      key0 += Philox::kBump0, key1 += Philox::kBump1;
      keys_[round][0] = kept_in_register(key0), keys_[round][1] = kept_in_register(key1);
    }
  }

  __device__ RandomWords of_group(uint32_t group) const {  // of ids 4 group … 4 group + 3
    const uint2 one = multiply_wide(Philox::kMultiply0, group), two = multiply_wide(Philox::kMultiply1, one.y ^ first_);
    uint32_t a = two.y ^ second_[0], b = two.x, c = one.x ^ second_[1], d = third_;
#pragma unroll
    for (int round = 0; round < kRounds; round++) {
      const uint2 product0 = multiply_wide(Philox::kMultiply0, a), product1 = multiply_wide(Philox::kMultiply1, c);
      a = product1.y ^ b ^ keys_[round][0], b = product1.x;
      c = product0.y ^ d ^ keys_[round][1], d = product0.x;
    }
    return {{a, b, c, d}};
  }

 private:
  static constexpr int kRounds = Philox::kRounds - 2;

  uint32_t first_, second_[2], third_, keys_[kRounds][2];
};

}  // namespace penstock::cuda
