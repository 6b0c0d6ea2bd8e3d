// What a thread block finds out about a row of logits: peak and sum of exponentials, the cut that a filter makes, the
// token that Gumbel noise draws. Every sum that a choice hangs on is one of integers, so no order of threads shows.
#pragma once
#include "kernels/cuda/logits.cuh"

namespace penstock::cuda {

constexpr int kRowThreads = 1024;
constexpr int kRowWarps = kRowThreads / kWarp;

struct RowShared {
  union {
    unsigned long long mass[kBins];
    unsigned int count[kBins];
  };
  float warp_value[kRowWarps], warp_sum[kRowWarps];
  int32_t warp_id[kRowWarps];
  unsigned long long warp_mass[kRowWarps];
  // Of the block's last reduction or search.
  unsigned long long above, found_mass;
  int32_t found;
  float best;
  int32_t best_id;
  int32_t listed;
  TopLogprob list[kMaxTopLogprobs];
};

// A row whose logits are read as (logit - peak) / temperature, so that none is above 0.
class ScaledRow {
 public:
  __device__ ScaledRow(const float* logits, int32_t vocab, float peak, float temperature)
      : logits_(logits), vocab_(vocab), scale_(RowScale::of(peak, temperature)) {}
  __device__ float operator[](int32_t id) const { return scale_(logits_[id]); }
  __device__ float logit(int32_t id) const { return logits_[id]; }
  __device__ int32_t vocab() const { return vocab_; }

 private:
  const float* logits_;
  int32_t vocab_;
  RowScale scale_;
};

// The best (value, id) of the block, in shared.best and shared.best_id.
__device__ inline void reduce_best(RowShared& shared, float value, int32_t id) {
#pragma unroll
  for (int lanes = kWarp / 2; lanes > 0; lanes /= 2) {
    const float other = __shfl_xor_sync(0xFFFFFFFF, value, lanes);
    const int32_t other_id = __shfl_xor_sync(0xFFFFFFFF, id, lanes);
    if (goes_before(other, other_id, value, id)) value = other, id = other_id;
  }
  __syncthreads();
  if (threadIdx.x % kWarp == 0)
    shared.warp_value[threadIdx.x / kWarp] = value, shared.warp_id[threadIdx.x / kWarp] = id;
  __syncthreads();
  if (threadIdx.x == 0) {
    for (int w = 1; w < kRowWarps; w++)
      if (goes_before(shared.warp_value[w], shared.warp_id[w], value, id))
        value = shared.warp_value[w], id = shared.warp_id[w];
    shared.best = value, shared.best_id = id;
  }
  __syncthreads();
}

__device__ inline Peak find_peak(RowShared& shared, const float* logits, int32_t vocab) {
  float largest = kNowhere, sum = 0;
  int32_t id = -1;
  bool bad = false;
  for (int32_t i = threadIdx.x; i < vocab; i += kRowThreads) {
    const float x = logits[i];
    bad |= !(x < __builtin_inff());
    if (x > largest) {
      sum = sum * expf(largest - x) + 1;
      largest = x, id = i;
    } else if (x > kNowhere) {
      sum += expf(x - largest);
    }
  }
  bad = __syncthreads_or(bad);
  reduce_best(shared, largest, id);
  Peak peak{.logit = shared.best, .id = shared.best_id, .bad = bad, .total = 0};
  if (!peak.finite()) return peak;
  sum = warp_sum(id < 0 ? 0 : sum * expf(largest - peak.logit));
  if (threadIdx.x % kWarp == 0) shared.warp_sum[threadIdx.x / kWarp] = sum;
  __syncthreads();
  for (int w = 0; w < kRowWarps; w++) peak.total += shared.warp_sum[w];
  __syncthreads();
  return peak;
}

// What a kept id counts in a search: one, or its probability as a fixed-point number.
struct OneEach {
  __device__ unsigned long long operator()(float) const { return 1; }
};
struct Probability {
  static constexpr float kUnit = 0x1p40f;
  __device__ unsigned long long operator()(float scaled) const {
    return static_cast<unsigned long long>(expf(scaled) * kUnit);
  }
};

// The last bin, counted down from kBins - 1, with which the masses reach `wanted`: shared.found. Before it the bins
// hold shared.above.
__device__ inline void find_bin(RowShared& shared, double wanted) {
  __syncthreads();
  constexpr int kEach = kBins / kRowThreads;
  unsigned long long mine = 0;
#pragma unroll
  for (int i = 0; i < kEach; i++) mine += shared.mass[kBins - 1 - (threadIdx.x * kEach + i)];
  unsigned long long up_to = mine;  // of this thread's bins and those before them
#pragma unroll
  for (int lanes = 1; lanes < kWarp; lanes *= 2) {
    const unsigned long long other = __shfl_up_sync(0xFFFFFFFF, up_to, lanes);
    if (threadIdx.x % kWarp >= lanes) up_to += other;
  }
  if (threadIdx.x % kWarp == kWarp - 1) shared.warp_mass[threadIdx.x / kWarp] = up_to;
  if (threadIdx.x == 0) shared.found = -1;
  __syncthreads();
  for (int w = 0; w < static_cast<int>(threadIdx.x / kWarp); w++) up_to += shared.warp_mass[w];
  unsigned long long before = up_to - mine;
  if (static_cast<double>(before) < wanted && static_cast<double>(up_to) >= wanted) {
    for (int i = 0; i < kEach; i++) {
      const int bin = kBins - 1 - (threadIdx.x * kEach + i);
      if (static_cast<double>(before + shared.mass[bin]) >= wanted) {
        shared.found = bin, shared.above = before;
        break;
      }
      before += shared.mass[bin];
    }
  }
  __syncthreads();
}

// The id of the n-th (from 1) value that equals `value` within the cut.
__device__ inline int32_t nth_equal(RowShared& shared, const ScaledRow& row, float value, const Cut& cut, int64_t n) {
  for (int32_t begin = 0; begin < row.vocab(); begin += kRowThreads) {
    const int32_t id = begin + threadIdx.x;
    const bool equal = id < row.vocab() && row[id] == value && cut.keeps(value, id);
    const int count = __syncthreads_count(equal);
    if (count < n) {
      n -= count;
      continue;
    }
    const unsigned ballot = __ballot_sync(0xFFFFFFFF, equal);
    if (threadIdx.x % kWarp == 0) shared.warp_id[threadIdx.x / kWarp] = __popc(ballot);
    __syncthreads();
    int64_t rank = __popc(ballot & ((2u << (threadIdx.x % kWarp)) - 1));
    for (int w = 0; w < static_cast<int>(threadIdx.x / kWarp); w++) rank += shared.warp_id[w];
    if (equal && rank == n) shared.found = id;
    __syncthreads();
    return shared.found;
  }
  return INT32_MAX;
}

// The smallest set of the largest values within `cut`, lower ids first among equals, that counts `wanted`; `cut` when
// all of it counts less. A radix search: the value in steps of 1/64, then its bits from the top.
template <class Weight>
__device__ Cut search(RowShared& shared, const ScaledRow& row, const Cut& cut, Weight weight, double wanted) {
  constexpr int kDigits[] = {11, 11, 10};
  int32_t step = -1;
  uint32_t prefix = 0;
  int shift = 32;
  double missing = wanted;
  for (int level = 0; level < 4; level++) {
    const int digits = level == 0 ? 0 : kDigits[level - 1];
    const int next_shift = shift - digits;
    __syncthreads();
    for (int i = threadIdx.x; i < kBins; i += kRowThreads) shared.mass[i] = 0;
    __syncthreads();
    for (int32_t id = threadIdx.x; id < row.vocab(); id += kRowThreads) {
      const float x = row[id];
      if (!cut.keeps(x, id) || x == kNowhere) continue;
      const int own_step = kBins - 1 - min(static_cast<int>(fminf(-x * 64, kBins)), kBins - 1);
      const uint32_t bits = ordered_bits(x);
      int bin = own_step;
      if (level > 0) {
        if (own_step != step || (shift < 32 && bits >> shift != prefix)) continue;
        bin = bits >> next_shift & ((1u << digits) - 1);
      }
      atomicAdd(&shared.mass[bin], weight(x));
    }
    find_bin(shared, missing);
    if (shared.found < 0) return cut;
    missing -= static_cast<double>(shared.above);
    if (level == 0)
      step = shared.found;
    else
      prefix = level == 1 ? shared.found : prefix << digits | shared.found, shift = next_shift;
  }
  // All with these bits are equal: how many are needed?
  const float value = from_ordered_bits(prefix);
  const unsigned long long all = shared.mass[shared.found], each = weight(value);
  const auto needed = static_cast<int64_t>(ceil(missing / static_cast<double>(max(each, 1ull))));
  __syncthreads();
  if (each == 0 || static_cast<unsigned long long>(needed) * each >= all)
    return {value, value == cut.lowest ? cut.last_id : INT32_MAX};
  return {value, nth_equal(shared, row, value, cut, max(needed, int64_t{1}))};
}

// Of all within the cut.
template <class Weight>
__device__ double weight_of(RowShared& shared, const ScaledRow& row, const Cut& cut, Weight weight) {
  unsigned long long sum = 0;
  for (int32_t id = threadIdx.x; id < row.vocab(); id += kRowThreads) {
    const float x = row[id];
    if (cut.keeps(x, id) && x > kNowhere) sum += weight(x);
  }
#pragma unroll
  for (int lanes = kWarp / 2; lanes > 0; lanes /= 2) sum += __shfl_xor_sync(0xFFFFFFFF, sum, lanes);
  __syncthreads();
  if (threadIdx.x % kWarp == 0) shared.warp_mass[threadIdx.x / kWarp] = sum;
  __syncthreads();
  sum = 0;
  for (int w = 0; w < kRowWarps; w++) sum += shared.warp_mass[w];
  return static_cast<double>(sum);
}

// Top-k, then top-p of what that leaves, then min-p.
__device__ inline Cut filter(RowShared& shared, const ScaledRow& row, const HeadRow& want) {
  Cut cut;
  if (want.top_k > 0 && want.top_k < row.vocab()) cut = search(shared, row, cut, OneEach(), want.top_k);
  if (want.top_p < 1) {
    const double total = weight_of(shared, row, cut, Probability());
    cut = search(shared, row, cut, Probability(), static_cast<double>(want.top_p) * total);
  }
  if (want.min_p > 0) {
    const auto lowest = static_cast<float>(log(static_cast<double>(want.min_p)));
    if (lowest > cut.lowest) cut = {fminf(lowest, 0.0f), INT32_MAX};
  }
  return cut;
}

// Gumbel-max within the cut: the id is in shared.best_id on return.
__device__ inline void draw(RowShared& shared, const ScaledRow& row, const HeadRow& want, const Cut& cut) {
  float best = kNowhere;
  int32_t best_id = -1;
  for (int32_t first = 4 * threadIdx.x; first < row.vocab(); first += 4 * kRowThreads) {
    float value[4], largest = kNowhere;
#pragma unroll
    for (int i = 0; i < 4; i++) {
      value[i] = kNowhere;
      if (first + i >= row.vocab()) continue;
      const float x = row[first + i];
      if (cut.keeps(x, first + i)) value[i] = x;
      largest = fmaxf(largest, value[i]);
    }
    if (!(largest + kMostNoise > best)) continue;
    const RandomWords words = random_words(want.seed, want.choice, want.position, RandomUse::token, first / 4);
#pragma unroll
    for (int i = 0; i < 4; i++) {
      if (value[i] == kNowhere) continue;
      const float key = value[i] + noise_of(words.word[i]);
      if (key > best) best = key, best_id = first + i;
    }
  }
  reduce_best(shared, best, best_id);
}

// The `count` likeliest ids, the likelier and then the lower first; entries beyond them are empty.
__device__ inline void write_top(RowShared& shared, TopLogprob* top, const float* logits, int32_t vocab, int32_t count,
                                 const Peak& peak) {
  const ScaledRow row(logits, vocab, peak.logit, 1);
  const Cut cut = count < vocab ? search(shared, row, Cut(), OneEach(), count) : Cut();
  __syncthreads();
  if (threadIdx.x == 0) shared.listed = 0;
  __syncthreads();
  for (int32_t id = threadIdx.x; id < vocab; id += kRowThreads) {
    const float x = row[id];
    if (x == kNowhere || !cut.keeps(x, id)) continue;
    const int at = atomicAdd(&shared.listed, 1);
    if (at < kMaxTopLogprobs) shared.list[at] = {id, logits[id]};
  }
  __syncthreads();
  if (threadIdx.x == 0) {
    const int listed = min(shared.listed, count);
    for (int i = 1; i < listed; i++)
      for (int j = i; j > 0 && goes_before(shared.list[j].logprob, shared.list[j].id, shared.list[j - 1].logprob,
                                           shared.list[j - 1].id);
           j--) {
        const TopLogprob other = shared.list[j];
        shared.list[j] = shared.list[j - 1];
        shared.list[j - 1] = other;
      }
    for (int i = 0; i < kMaxTopLogprobs; i++)
      top[i] = i < listed ? TopLogprob{shared.list[i].id, log_probability(shared.list[i].logprob, peak)} : TopLogprob();
  }
  __syncthreads();
}

}  // namespace penstock::cuda
