// What follows sampling where tokens are drafted: a few words a row, so one thread does it.
#include "kernels/cpu/edited_row.h"
#include "kernels/cpu/ops.h"
#include "kernels/random.h"

namespace penstock::cpu {

void accept_drafts(const AcceptDrafts& op) {
  for (int64_t r = 0; r < op.count; r++) {
    const VerifyRow& row = op.rows[r];
    if (row.slot < 0) continue;
    HeadResult* drawn = op.results + row.first;
    const int32_t* drafts = op.drafts + int64_t{row.slot} * kMaxDrafts;
    int32_t last = 0;
    while (last < row.drafts && drawn[last].token == drafts[last]) last++;
    op.last_tokens[row.slot] = drawn[last].token < 0 ? 0 : drawn[last].token;
    for (int32_t i = last + 1; i <= row.drafts; i++) drawn[i].flags = HeadResult::kRejected;
    if (row.edits == 0) continue;
    for (int32_t i = 0; i <= last; i++)
      if (drawn[i].token >= 0) count_drawn(op.slots.counts[row.slot * op.slots.vocab + drawn[i].token]);
  }
}

void draw_from_table(const DrawFromTable& op) {
  const Head& head = op.head;
  for (int64_t r = 0; r < head.logits.rows; r++) {
    const HeadRow& want = head.rows[r];
    if (want.slot < 0 || want.target >= 0 || head.results[r].token < 0) continue;
    const int32_t token = table_token(want, op.vocab, op.agreement);
    head.results[r].token = token;
    keep_token(want, token, head.last_tokens, head.drafts);
  }
}

}  // namespace penstock::cpu
