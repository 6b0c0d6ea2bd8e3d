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
  int32_t* drafts;
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
          .drafts = op.drafts,
          .edited = static_cast<float*>(workspace)};
}

// Without fused multiply-add: the bits are the CPU's.
__device__ inline float penalized(float x, uint16_t count, const HeadRow& want) {
  x = x > 0 ? x / want.repetition_penalty : __fmul_rn(x, want.repetition_penalty);
  const int times = count & SlotState::kMostDrawn;
  x = __fsub_rn(x, __fmul_rn(want.frequency_penalty, static_cast<float>(times)));
  return times > 0 ? __fsub_rn(x, want.presence_penalty) : x;
}

__device__ inline void count_drawn(uint16_t& count, int times) {
  const int room = SlotState::kMostDrawn - (count & SlotState::kMostDrawn);
  count += static_cast<uint16_t>(min(times, room));
}

// Calls penalize(id, count) for the ids among the drafts that the row sees as drawn, with the slot's count and them in
// `count`. By a whole block: its first threads take a draft each, an id's first draft stands for all.
template <class Penalize>
__device__ void for_each_drafted(const HeadRows& op, const HeadRow& want, Penalize penalize) {
  const int own = threadIdx.x;
  if (own >= want.drafted) return;
  const int32_t* drafts = op.drafts + static_cast<int64_t>(want.slot) * kMaxDrafts;
  const int32_t id = drafts[own];
  if (id < 0 || id >= op.vocab) return;
  int times = 0;
  for (int i = 0; i < want.drafted; i++) {
    if (drafts[i] != id) continue;
    if (i < own) return;
    times++;
  }
  uint16_t count = op.slots.counts[want.slot * op.slots.vocab + id];
  count_drawn(count, times);
  penalize(id, count);
}

// The slot's biases onto the logits of those ids that the block owns. By a whole block, which has written them before.
template <class Owns, class LogitOf>
__device__ void add_biases(const HeadRows& op, const HeadRow& want, Owns owns, LogitOf logit_of) {
  const LogitEdit* edits = op.slots.edits + static_cast<int64_t>(want.slot) * kMaxLogitEdits;
  const int32_t count = op.slots.num_edits[want.slot];
  // Two edits of one id stand side by side: its first thread does both.
  for (int32_t i = static_cast<int32_t>(threadIdx.x); i < count; i += static_cast<int32_t>(blockDim.x)) {
    const int32_t id = edits[i].id;
    if (!owns(id) || (i > 0 && edits[i - 1].id == id)) continue;
    float logit = logit_of(id);
    for (int32_t j = i; j < count && edits[j].id == id; j++)
      if (want.position < edits[j].until) logit += edits[j].bias;
    logit_of(id) = logit;
  }
  __syncthreads();
}

// Puts a row's token where the row wants it; -1: none could be drawn. By one thread.
__device__ inline void keep(const HeadRows& op, const HeadRow& want, int32_t token) {
  keep_token(want, token, op.last_tokens, op.drafts);
  if (want.draw == DrawKind::next && want.edits != 0 && token >= 0)
    count_drawn(op.slots.counts[want.slot * op.slots.vocab + token], 1);
}

}  // namespace penstock::cuda
