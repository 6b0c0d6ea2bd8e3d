#include "kernels/cpu/ops.h"
#include "kernels/cpu/vector.h"

namespace penstock::cpu::PENSTOCK_ISA {

// Enough independent sums to hide the latency of a multiply-add, few enough to stay in registers.
constexpr int kChains = 12;

// Keeps what it is given from being computed away.
static void use(Vec v) {
  volatile float sink = sum(v);
  (void)sink;
}

static void multiply_add_f32(int64_t rounds) {
  volatile float half = 0.5f;  // read at run time, so that nothing is known of it
  const Vec x = splat(half), y = splat(half);
  Vec chains[kChains];
  for (int i = 0; i < kChains; ++i)
    chains[i] = splat(static_cast<float>(i));  // all different, or they would become one
  for (int64_t round = 0; round < rounds; ++round)
    for (Vec& chain : chains) chain = chain * x + y;
  for (const Vec& chain : chains) use(chain);
}

#if defined(__AVX512BF16__)
static void multiply_add_bf16(int64_t rounds) {
  volatile int ones = 0x3F803F80;
  const auto x = (__m512bh)_mm512_set1_epi32(ones), y = (__m512bh)_mm512_set1_epi32(ones);
  __m512 chains[kChains];
  for (int i = 0; i < kChains; ++i) chains[i] = splat(static_cast<float>(i));
  for (int64_t round = 0; round < rounds; ++round)
    for (__m512& chain : chains) chain = _mm512_dpbf16_ps(chain, x, y);
  for (const __m512& chain : chains) use(chain);
}
constexpr int64_t kPairs = 2;
#else
static void multiply_add_bf16(int64_t rounds) { multiply_add_f32(rounds); }
constexpr int64_t kPairs = 1;
#endif

// Every worker on its own registers. Bound by FLOPs and by nothing else.
int64_t multiply_add(ThreadPool& pool, Precision precision, int64_t rounds) {
  const bool bf16 = precision == Precision::bf16;
  auto body = [&](int) { bf16 ? multiply_add_bf16(rounds) : multiply_add_f32(rounds); };
  pool.run(body);
  return pool.size() * rounds * kChains * kLanes * 2 * (bf16 ? kPairs : 1);
}

// Every worker reads a contiguous part, again and again. Bound by bytes, and by nothing else.
void read_memory(ThreadPool& pool, const float* data, int64_t count, int passes) {
  constexpr int64_t kStreams = 8, kStep = kStreams * kLanes;
  pool.parallel_for(count, kStep, [&](int64_t begin, int64_t end) {
    Vec sums[kStreams] = {};
    for (int pass = 0; pass < passes; ++pass)
      for (int64_t i = begin; i + kStep <= end; i += kStep)
        for (int64_t stream = 0; stream < kStreams; ++stream) sums[stream] += load(data + i + stream * kLanes);
    for (const Vec& part : sums) use(part);
  });
}

}  // namespace penstock::cpu::PENSTOCK_ISA
