// What the kernels of the head are told, and what they share.
#pragma once
#include "kernels/backend.h"

namespace penstock::cuda {

struct HeadRows {
  const float* logits;
  int64_t stride;
  int32_t rows, vocab;
  const HeadRow* want;
  HeadResult* results;
  int32_t* last_tokens;
  TopLogprob* top;
  SlotState slots;
  float* edited;  // [blocks, vocab]
};

inline HeadRows rows_of(const Head& op, void* workspace) {
  return {.logits = static_cast<const float*>(op.logits.data),
          .stride = op.logits.stride,
          .rows = static_cast<int32_t>(op.logits.rows),
          .vocab = static_cast<int32_t>(op.logits.cols),
          .want = op.rows,
          .results = op.results,
          .last_tokens = op.last_tokens,
          .top = op.top,
          .slots = op.slots,
          .edited = static_cast<float*>(workspace)};
}

// Without fused multiply-add: the bits are the CPU's.
__device__ inline float penalized(float x, uint16_t count, const HeadRow& want) {
  x = x > 0 ? x / want.repetition_penalty : __fmul_rn(x, want.repetition_penalty);
  const int times = count & ~SlotState::kInPrompt;
  x = __fsub_rn(x, __fmul_rn(want.frequency_penalty, static_cast<float>(times)));
  return times > 0 ? __fsub_rn(x, want.presence_penalty) : x;
}

__device__ inline bool takes_peak(const HeadRow& want) {
  return !(want.temperature > 0 && want.top_p > 0 && want.top_k != 1);
}

}  // namespace penstock::cuda
