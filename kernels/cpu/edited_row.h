// The penalties and logit edits of step_view.h. Compiled once, without fused multiply-add: an edited logit has the same
// bits on every instruction set.
#pragma once
#include "kernels/backend.h"

namespace penstock::cpu {

// edited[0 … count) = what the ids from `first` on, whose logits these are, are drawn by. `want` has edits and a slot;
// drafts [want.drafted]: its slot's. The ids may be any part of the slots' vocabulary.
void edit_row(float* edited, const float* logits, int64_t first, int64_t count, const HeadRow& want,
              const SlotState& slots, const int32_t* drafts);

inline const int32_t* drafts_of(const Head& op, const HeadRow& want) {
  return want.drafted > 0 ? op.drafts + int64_t{want.slot} * kMaxDrafts : nullptr;
}

inline void count_drawn(uint16_t& count) {
  if ((count & SlotState::kMostDrawn) < SlotState::kMostDrawn) count++;
}

// Puts a row's token where the row wants it; -1: none could be drawn.
inline void keep(const Head& op, const HeadRow& want, int32_t token) {
  keep_token(want, token, op.last_tokens, op.drafts);
  if (want.draw == DrawKind::next && want.edits != 0 && token >= 0)
    count_drawn(op.slots.counts[want.slot * op.slots.vocab + token]);
}

}  // namespace penstock::cpu
