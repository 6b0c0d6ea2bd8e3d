// What the results tell of drafts: which were right, what they cost, and whether they are worth it.
#include <algorithm>

#include "engine/schedule/scheduler_impl.h"

namespace penstock {

// A token has become known: did the proposal say so?
void Scheduler::Impl::watch_proposal(Sequence& sequence) {
  Drafting& drafting = sequence.drafting;
  if (drafting.proposal.empty()) return;
  const auto length = static_cast<int32_t>(drafting.proposal.size());
  const int32_t at = static_cast<int32_t>(sequence.tokens.size()) - 1 - drafting.proposed_at;
  const bool agrees = sequence.tokens.back() == drafting.proposal[at];
  if (agrees && at + 1 < length) return;
  for (Acceptance* acceptance : {&drafting.ngram, &all_ngram}) acceptance->record(at + 1, at + agrees);
  drafting.proposal.clear();
}

// What the step has told of drafts, and of its cost. Before its tokens are committed.
void Scheduler::Impl::settle_drafts(const InFlight& plan, const StepResult& result) {
  int64_t accepted = 0;
  for (size_t i = 0; i < plan.verify.size(); ++i) {
    const VerifyRow& row = plan.verify[i];
    int32_t right = 0;
    while (right < row.drafts && !(result.head[row.first + right + 1].flags & HeadResult::kRejected)) ++right;
    settle_row(row, right, plan.by_model[i]);
    accepted += right;
  }
  for (int32_t slot : plan.draft_slots)
    if (slot_owner[slot]) note_model_filled(*slot_owner[slot]);
  StepRecord record = plan.record;
  record.seconds = result.seconds;
  record.draft_seconds = result.draft_seconds;
  record.idle_seconds = result.idle_seconds;
  record.warming = result.warming;
  if (record.seconds > 0) controller.observe(record);
  SpeculationStats& sum = stats.speculation;
  sum.catch_up_tokens += record.catch_up_tokens;
  if (record.drafts == 0) return;
  const auto rows = static_cast<int64_t>(plan.verify.size());
  ++sum.steps;
  sum.rows += rows;
  sum.tokens += rows + accepted;
  sum.draft_seconds += record.draft_seconds;
  const double seconds = record.seconds + record.draft_seconds + record.idle_seconds;
  const auto all_rows = static_cast<double>(record.rows);
  const double without = (all_rows + static_cast<double>(accepted)) / all_rows * controller.plain_seconds(record.rows);
  sum.seconds += seconds;
  sum.seconds_without += without;
  if (config.fixed_drafts < 0 && !record.warming && controller.knows(record.tokens)) judge(without, seconds);
}

// What comes of drafts counts more than what was expected of them: where they cost time after all, it is decoded
// without for a while, each time longer.
void Scheduler::Impl::judge(double without, double seconds) {
  constexpr double kMemory = 0.9;
  constexpr int64_t kTrial = 16, kShortest = 64, kLongest = 4096;
  judged_without = kMemory * judged_without + without;
  judged_seconds = kMemory * judged_seconds + seconds;
  if (++judged_steps < kTrial) return;
  if (judged_without > judged_seconds) {
    if (judged_steps > 4 * kTrial) rest_interval = kShortest;
    return;
  }
  speculating = false;
  probe_plans = 0;
  plans_to_rest = rest_interval;
  rest_interval = std::min(2 * rest_interval, kLongest);
  judged_without = judged_seconds = 0;
  judged_steps = 0;
}

void Scheduler::Impl::settle_row(const VerifyRow& row, int32_t accepted, bool by_model) {
  auto& counts = by_model ? stats.speculation.model : stats.speculation.ngram;
  for (int32_t i = 0; i < row.drafts; ++i) ++counts.proposed[i], counts.accepted[i] += i < accepted;
  if (by_model) all_model.record(row.drafts, accepted);

  Sequence* sequence = slot_owner[row.slot];
  if (!sequence) return;  // preempted
  const auto known = static_cast<int32_t>(sequence->tokens.size());
  sequence->computed = known + accepted;
  sequence->drawn = known - sequence->prompt_size + accepted + 1;
  while (static_cast<int32_t>(sequence->blocks.size()) > blocks_for(sequence->computed)) {
    drop_block(sequence->blocks.back());
    sequence->blocks.pop_back();
    reserved_blocks += sequence->reserved;
  }
  if (!by_model) return;
  sequence->drafting.model.record(row.drafts, accepted);
  sequence->drafting.model_computed = std::min(sequence->drafting.model_computed, sequence->computed);
}

// Once it is so: copies of the plan that fills them come before.
void Scheduler::Impl::note_model_filled(Sequence& sequence) {
  Drafting& drafting = sequence.drafting;
  const int32_t size = config.block_size;
  for (int32_t i = drafting.model_noted / size; i * size < drafting.model_computed; ++i)
    model_filled[sequence.blocks[i]] = std::min(size, drafting.model_computed - i * size);
  drafting.model_noted = drafting.model_computed;
}

}  // namespace penstock
