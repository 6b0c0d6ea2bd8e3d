// Random numbers as a pure function: Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC
// 2011). There is no state to carry, so a draw depends on its key alone, never on the batch, the step or the device.
//
// Layout. Key: seed's low, then high 32 bits. Counter: { id / 4, position, choice, use }; word id % 4 of the result
// belongs to id. So one call serves four neighbouring ids.
#pragma once
#include <cmath>
#include <cstdint>

#include "kernels/step_view.h"

#ifdef __CUDACC__
#define PENSTOCK_HOST_DEVICE __host__ __device__
#else
#define PENSTOCK_HOST_DEVICE
#endif

namespace penstock {

// What a number is for: two uses of one (seed, choice, position) never see the same numbers.
enum class RandomUse : uint32_t { token = 0, table = 1 };

struct RandomWords {
  uint32_t word[4];
};

struct Philox {
  static constexpr int kRounds = 10;
  static constexpr uint32_t kMultiply0 = 0xD2511F53u, kMultiply1 = 0xCD9E8D57u;
  static constexpr uint32_t kBump0 = 0x9E3779B9u, kBump1 = 0xBB67AE85u;  // added to the key after each round
};

PENSTOCK_HOST_DEVICE inline RandomWords philox4x32(RandomWords counter, uint32_t key0, uint32_t key1) {
  for (int round = 0; round < Philox::kRounds; round++) {
    uint64_t product0 = static_cast<uint64_t>(Philox::kMultiply0) * counter.word[0];
    uint64_t product1 = static_cast<uint64_t>(Philox::kMultiply1) * counter.word[2];
    counter = {{static_cast<uint32_t>(product1 >> 32) ^ counter.word[1] ^ key0, static_cast<uint32_t>(product1),
                static_cast<uint32_t>(product0 >> 32) ^ counter.word[3] ^ key1, static_cast<uint32_t>(product0)}};
    key0 += Philox::kBump0;
    key1 += Philox::kBump1;
  }
  return counter;
}

PENSTOCK_HOST_DEVICE inline RandomWords random_words(uint64_t seed, int32_t choice, int32_t position, RandomUse use,
                                                     uint32_t block) {
  RandomWords counter = {
      {block, static_cast<uint32_t>(position), static_cast<uint32_t>(choice), static_cast<uint32_t>(use)}};
  return philox4x32(counter, static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32));
}

// A word as w in (0, 1): rounded to f32, so fine near 0 (steps of 2^-32) and coarse near 1 (2^-24).
PENSTOCK_HOST_DEVICE inline float unit_interval(uint32_t word) {
  constexpr float kLargest = 0x1.fffffep-1f;
  float w = (static_cast<float>(word) + 0.5f) * 0x1p-32f;
  return w < kLargest ? w : kLargest;
}

// Gumbel noise -log(-log(1 - w)), from -2.81 to 22.88: small words give the large values, where the resolution counts.
// Adding it to logits and taking the largest draws from their softmax. A vectorised body may differ by a few ulp.
PENSTOCK_HOST_DEVICE inline float gumbel(uint32_t word) { return -logf(-log1pf(-unit_interval(word))); }

// What draw_from_table (backend.h) puts in place of a row's draw. agreement: of drafts.
PENSTOCK_HOST_DEVICE inline int32_t table_token(const HeadRow& want, int32_t vocab, float agreement) {
  const RandomWords words = random_words(want.seed, want.choice, want.position, RandomUse::table, 0);
  const auto token = static_cast<int32_t>(words.word[0] % static_cast<uint32_t>(vocab));
  if (want.draw != DrawKind::draft || unit_interval(words.word[1]) < agreement) return token;
  return (token + 1) % vocab;
}

}  // namespace penstock
