#include <algorithm>

#include "kernels/cpu/edited_row.h"
#include "kernels/cpu/ops.h"

namespace penstock::cpu {

void prepare_slot(const PrepareSlot& op) {
  uint16_t* counts = op.slots.counts + op.slot * op.slots.vocab;
  std::fill_n(counts, op.slots.vocab, uint16_t{0});
  for (int32_t id : op.prompt) counts[id] = SlotState::kInPrompt;
  for (int32_t id : op.generated) count_drawn(counts[id]);
  std::copy(op.edits.begin(), op.edits.end(), op.slots.edits + int64_t{op.slot} * kMaxLogitEdits);
  op.slots.num_edits[op.slot] = static_cast<int32_t>(op.edits.size());
}

}  // namespace penstock::cpu
