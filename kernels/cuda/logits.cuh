// What all samplers know of rows of logits.
#pragma once
#include <cuda_runtime.h>

#include <cstdint>

#include "kernels/candidates.h"
#include "kernels/cuda/warp.cuh"
#include "kernels/random.h"
#include "kernels/step_view.h"

namespace penstock::cuda {

constexpr int kBins = 2048;
constexpr float kNowhere = -__builtin_inff();

struct Peak {
  float logit;
  int32_t id;    // the lowest with this logit; -1: all are -inf
  bool bad;      // NaN or +inf among them
  double total;  // sum of exp(logit - peak)
  __device__ bool finite() const { return !bad && id >= 0; }
};

// Keeps what lies above `lowest`, and what equals it up to an id.
struct Cut {
  float lowest = kNowhere;
  int32_t last_id = INT32_MAX;
  __device__ bool keeps(float scaled, int32_t id) const {
    return scaled > lowest || (scaled == lowest && id <= last_id);
  }
};

// Larger values first, then lower ids.
__device__ inline bool goes_before(float a, int32_t a_id, float b, int32_t b_id) {
  return a > b || (a == b && static_cast<uint32_t>(a_id) < static_cast<uint32_t>(b_id));
}

// A float's bits, ascending with the float.
__device__ inline uint32_t ordered_bits(float x) {
  const uint32_t bits = __float_as_uint(x);
  return bits >> 31 ? ~bits : bits | 0x80000000u;
}
__device__ inline float from_ordered_bits(uint32_t bits) {
  return __uint_as_float(bits >> 31 ? bits & 0x7FFFFFFFu : ~bits);
}

// -log(-log(1 - w)); 1 - w is rounded, and what it lost is put back to first order.
__device__ inline float noise_of(uint32_t word) {
  const float w = unit_interval(word), rest = 1.0f - w, lost = (1.0f - rest) - w;
  return -logf(-(logf(rest) + lost / rest));
}
constexpr float kMostNoise = 22.9f;  // above all of it

__device__ inline float log_probability(float logit, const Peak& peak) {
  return static_cast<float>(static_cast<double>(logit) - static_cast<double>(peak.logit) - log(peak.total));
}

__device__ inline void write_no_top(TopLogprob* top) {  // by one thread
  for (int i = 0; i < kMaxTopLogprobs; i++) top[i] = {};
}

}  // namespace penstock::cuda
