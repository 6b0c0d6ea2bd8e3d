#include "kernels/cpu/edited_row.h"
#include "kernels/cpu/ops.h"

namespace penstock::cpu {

void settle_candidates(const SettleCandidates& op) {
  const int64_t count = op.ranks * kCandidateParts;
  for (int64_t r = 0; r < op.head.logits.rows; r++) {
    const HeadRow& want = op.head.rows[r];
    if (is_padding(want)) continue;
    if (surely_keeps(want, sum_of(op.tallies + r * count, count)))
      keep(op.head, want, op.head.results[r].token);
    else
      op.others[r] = want;
  }
}

}  // namespace penstock::cpu
