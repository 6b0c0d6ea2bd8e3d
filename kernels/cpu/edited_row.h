// The penalties and logit edits of step_view.h. Compiled once, without fused multiply-add: an edited logit has the same
// bits on every instruction set.
#pragma once
#include "kernels/step_view.h"

namespace penstock::cpu {

// edited[0 … vocab) = what the row is drawn by. `want` has edits and a slot; drafts [want.drafted]: its slot's. The
// vocabulary may be the first part of the slots'.
void edit_row(float* edited, const float* logits, int64_t vocab, const HeadRow& want, const SlotState& slots,
              const int32_t* drafts);

inline void count_drawn(uint16_t& count) {
  if ((count & SlotState::kMostDrawn) < SlotState::kMostDrawn) count++;
}

}  // namespace penstock::cpu
