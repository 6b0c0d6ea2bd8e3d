#include "engine/step/draft_passes.h"

#include <algorithm>

namespace penstock {
namespace {

// Beyond every part of an embedding table, the padding of the last one included.
constexpr int32_t kUnknownId = INT32_MAX;

// The token that draft `i` comes after is the row's last one so far.
void want_draft(StepPlan& pass, const DraftRow& row, int32_t i) {
  HeadRow& want = pass.head.emplace_back(row.head);
  want.draw = DrawKind::draft;
  want.position += i;
  want.drafted = i;
  want.top_logprobs = 0;
  pass.head_tokens.push_back(static_cast<int32_t>(pass.input_ids.size()) - 1);
}

// Blocks for all that is fed, up to the last draft but one.
PlanRow first_row(const DraftRow& row, const PlanRow& target, int32_t block_size) {
  const int32_t fed = row.num_ids + std::max(0, row.num_drafts - 1);
  return {.slot = target.slot,
          .num_tokens = row.num_ids,
          .first_position = row.first_position,
          .num_blocks = (row.first_position + fed + block_size - 1) / block_size};
}

void feed_known(StepPlan& pass, const StepPlan& plan, const DraftRow& row, int32_t vocab, int32_t block_size) {
  const PlanRow& target = plan.rows[row.row];
  PlanRow& fed = pass.rows.emplace_back(first_row(row, target, block_size));
  if (fed.num_blocks > target.num_blocks)
    throw Error(ExitCode::internal, "the draft model is to be fed beyond its sequence's blocks");
  fed.first_token = static_cast<int32_t>(pass.input_ids.size());
  fed.first_block = static_cast<int32_t>(pass.block_tables.size());
  for (int32_t i = 0; i < row.num_ids; ++i) {
    const int32_t id = plan.draft_ids[row.first_id + i];
    pass.input_ids.push_back(id < vocab ? id : kUnknownId);
  }
  const auto table = plan.block_tables.begin() + target.first_block;
  pass.block_tables.insert(pass.block_tables.end(), table, table + fed.num_blocks);
  if (row.num_drafts > 0) want_draft(pass, row, 0);
}

void feed_draft(StepPlan& pass, const PlanRow& before, const DraftRow& row, int32_t i, int32_t slots) {
  PlanRow& fed = pass.rows.emplace_back(before);
  fed.first_token = static_cast<int32_t>(pass.input_ids.size());
  fed.num_tokens = 1;
  fed.first_position = row.first_position + row.num_ids + i - 1;
  pass.input_ids.push_back(input_from_draft(fed.slot, i - 1, slots));
  want_draft(pass, row, i);
}

}  // namespace

std::vector<StepPlan> draft_passes(const StepPlan& plan, int32_t slots, int32_t vocab, int32_t block_size) {
  if (plan.drafts.empty()) return {};
  std::vector<const DraftRow*> rows;
  for (const DraftRow& row : plan.drafts) rows.push_back(&row);
  std::stable_sort(rows.begin(), rows.end(), [](auto* a, auto* b) { return a->num_drafts > b->num_drafts; });

  std::vector<StepPlan> passes(std::max(1, rows[0]->num_drafts));
  for (const DraftRow* row : rows) feed_known(passes[0], plan, *row, vocab, block_size);
  for (int32_t i = 1; i < rows[0]->num_drafts; ++i)
    for (size_t r = 0; r < rows.size() && rows[r]->num_drafts > i; ++r)
      feed_draft(passes[i], passes[0].rows[r], *rows[r], i, slots);
  return passes;
}

}  // namespace penstock
