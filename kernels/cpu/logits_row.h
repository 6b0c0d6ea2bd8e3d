// One row of logits, read in blocks of kBlock; the last one is padded with -inf, which has no probability.
#pragma once
#include <cmath>

#include "kernels/cpu/vector.h"

namespace penstock::cpu::PENSTOCK_ISA {

class LogitsRow {
 public:
  static constexpr int kBlock = 64;

  LogitsRow(const float* logits, int64_t vocab)
      : logits_(logits), full_(vocab / kBlock), blocks_((vocab + kBlock - 1) / kBlock) {
    for (int64_t i = 0; i < kBlock; i++)
      tail_[i] = full_ * kBlock + i < vocab ? logits[full_ * kBlock + i] : -__builtin_inff();
  }
  LogitsRow(const LogitsRow&) = delete;

  int64_t blocks() const { return blocks_; }
  const float* block(int64_t b) const { return b < full_ ? logits_ + b * kBlock : tail_; }
  float operator[](int64_t id) const { return logits_[id]; }

 private:
  const float* logits_;
  int64_t full_, blocks_;
  alignas(64) float tail_[kBlock];
};

struct Peak {
  float logit = 0;
  int32_t id = -1;      // the lowest with this logit
  bool finite = false;  // no NaN, no +inf, and not all -inf; else the members above mean nothing
  bool empty = false;   // all -inf
};

// block_largest: [blocks], filled with each block's largest logit.
inline Peak find_peak(const LogitsRow& row, float* block_largest) {
  const float infinity = __builtin_inff();
  const Vec above = splat(infinity);
  IntVec bad = {};
  float largest = -infinity;
  for (int64_t b = 0; b < row.blocks(); b++) {
    const float* x = row.block(b);
    Vec top = load(x);
    bad |= ~(top < above);  // NaN and +inf alike
    for (int i = kLanes; i < LogitsRow::kBlock; i += kLanes) {
      Vec v = load(x + i);
      bad |= ~(v < above);
      top = max(v, top);
    }
    block_largest[b] = max(top);
    largest = larger(block_largest[b], largest);
  }
  if (any(bad)) return {};
  if (largest == -infinity) return {.empty = true};
  int64_t b = 0;
  while (block_largest[b] != largest) b++;
  const float* x = row.block(b);
  int i = 0;
  while (x[i] != largest) i++;
  return {largest, static_cast<int32_t>(b * LogitsRow::kBlock + i), true, false};
}

// The sum of exp((x - peak) * inverse_temperature). A few f32 additions a lane, then double: the relative error stays
// below 1e-6 for any vocabulary.
inline double sum_of_exp(const LogitsRow& row, float peak, float inverse_temperature) {
  double total = 0;
  for (int64_t b = 0; b < row.blocks();) {
    Vec sums[4] = {};
    for (int64_t stop = smaller(b + 16, row.blocks()); b < stop; b++) {
      const float* x = row.block(b);
      for (int i = 0; i < LogitsRow::kBlock; i += 4 * kLanes)
        for (int c = 0; c < 4; c++) sums[c] += exp((load(x + i + c * kLanes) - peak) * inverse_temperature);
    }
    total += static_cast<double>(sum((sums[0] + sums[1]) + (sums[2] + sums[3])));
  }
  return total;
}

inline float log_probability(float logit, float peak, double total) {
  return static_cast<float>(static_cast<double>(logit) - static_cast<double>(peak) - ::log(total));
}

}  // namespace penstock::cpu::PENSTOCK_ISA
