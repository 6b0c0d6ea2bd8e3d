// What one step computes, in the host's words. Made by the Scheduler, consumed by the model runner; knows no device.
#pragma once
#include <algorithm>
#include <cstdint>
#include <numeric>
#include <vector>

#include "kernels/backend.h"
#include "kernels/step_view.h"

namespace penstock {

// An input id that the host does not know yet: the slot's last sampled token, which is on the device.
constexpr int32_t input_from_slot(int32_t slot) { return ~slot; }

// A slot's sequence wants edited logits: to be told to the device before the step.
struct SlotSetup {
  int32_t slot = 0;
  std::vector<int32_t> prompt, generated;  // ids known so far
  std::vector<LogitEdit> edits;
};

// Likewise the i-th of the slot's drafts; `slots` are there in all.
constexpr int32_t input_from_draft(int32_t slot, int32_t i, int32_t slots) { return ~(slots + slot * kMaxDrafts + i); }

// Drafts of a slot that the host knows: to be told to the device before the step.
struct KnownDrafts {
  int32_t slot = 0;
  std::vector<int32_t> ids;  // at most kMaxDrafts
};

// What the draft model does before the step for one of its rows: it is fed what it lacks of the sequence, and then
// drafts, each fed to it in turn.
struct DraftRow {
  int32_t row = 0;             // index into StepPlan::rows: slot and block table
  int32_t first_id = 0;        // index into StepPlan::draft_ids
  int32_t num_ids = 0;         // >= 1: up to the sequence's last token when num_drafts > 0
  int32_t first_position = 0;  // of those
  int32_t num_drafts = 0;      // [0, kMaxDrafts]
  HeadRow head;                // how draft 0 is drawn; of draft i, `position` is i more and `drafted` is i
};

struct PlanRow {
  int32_t slot = 0;            // device slot of the sequence, in [0, max_batch)
  int32_t first_token = 0;     // index into StepPlan::input_ids; its tokens are contiguous
  int32_t num_tokens = 0;      // new tokens, >= 1
  int32_t first_position = 0;  // of the first new token in its sequence
  int32_t first_block = 0;     // index into StepPlan::block_tables
  int32_t num_blocks = 0;      // enough for first_position + num_tokens
  int32_t rope_begin = 0;      // entry of the RoPE table that is its position 0
};

// Rows are in order: a row may read blocks that an earlier row of the same plan writes, since every layer stores the K
// and V of all rows before it attends. Whoever splits a plan must keep that order.
struct StepPlan {
  uint64_t id = 0;          // ascending from 1
  int32_t micro_batch = 0;  // pipeline stages will need it
  std::vector<PlanRow> rows;
  std::vector<int32_t> input_ids;     // [tokens] >= 0, or input_from_slot(slot), or input_from_draft(slot, i, slots)
  std::vector<int32_t> block_tables;  // of all rows, one after the other
  std::vector<HeadRow> head;          // wanted logits, in the order of their tokens
  std::vector<int32_t> head_tokens;   // [head] index into input_ids of the token whose logits each one wants
  std::vector<BlockCopy> copies;      // to be done before the step, in every layer; independent of each other
  std::vector<SlotSetup> setups;      // likewise before the step
  std::vector<KnownDrafts> known_drafts;  // likewise, in any order
  std::vector<DraftRow> drafts;           // likewise, after the copies, by the draft model
  std::vector<int32_t> draft_ids;         // of `drafts`
  std::vector<VerifyRow> verify;          // after the step: `first` is an index into `head`
  int64_t num_prefill_tokens = 0;         // of rows that are not decoding, which come last; for the report

  int64_t num_tokens() const { return static_cast<int64_t>(input_ids.size()); }
  int64_t num_drafts() const {  // that are fed
    return std::accumulate(verify.begin(), verify.end(), int64_t{0},
                           [](int64_t sum, const VerifyRow& row) { return sum + row.drafts; });
  }
  bool empty() const { return rows.empty(); }
};

struct StepResult {
  uint64_t id = 0;               // of the plan
  std::vector<HeadResult> head;  // one for each StepPlan::head
  std::vector<TopLogprob> top;   // [head, kMaxTopLogprobs] when any of them wants some; else empty
  double seconds = 0;            // of the device: the step, without its drafts
  double draft_seconds = 0;      // before it, by the draft model
  double idle_seconds = 0;       // of the device, before those: since the end of the step before
  bool warming = false;          // something of it ran for the first time, and took longer than it will

  int64_t num_rejected() const {  // drafts
    return std::count_if(head.begin(), head.end(),
                         [](const HeadResult& one) { return (one.flags & HeadResult::kRejected) != 0; });
  }
};

}  // namespace penstock
