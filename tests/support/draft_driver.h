// Sequences that are drafted for and verified, step by step, without a scheduler: every step's result is known before
// the next is planned.
#pragma once
#include <algorithm>
#include <memory>
#include <vector>

#include "engine/step/rank_group.h"

namespace penstock::test {

class DraftDriver {
 public:
  struct Sequence {
    std::vector<int32_t> prompt;
    HeadRow sampling;  // temperature, penalties, seed … and whether there are edits
    std::vector<LogitEdit> edits{};
    std::vector<int32_t> tokens{};  // so far, the prompt first
    int32_t drafted_for = 0;        // positions that the draft model has K and V of
    int64_t proposed = 0, accepted = 0;
  };

  // Sequence s is in slot s. `draft` may be null. All references must outlive the driver.
  DraftDriver(const ModelConfig& model, const DraftModel* draft, const EngineConfig& config, int32_t max_tokens,
              std::vector<Sequence> sequences)
      : config_(placed(config, sequences.size(), max_tokens)),
        blocks_each_(blocks(max_tokens)),
        sequences_(std::move(sequences)),
        ranks_(model, config_, 0, nullptr, times_, draft) {
    ranks_.load([](std::exception_ptr) {});
  }

  Sequence& operator[](size_t s) { return sequences_[s]; }

  // Feeds the prompts of sequences [0, count) and draws a token of each; the draft model is fed them now when
  // `with_draft`.
  void prefill(int32_t count, bool with_draft = false) {
    StepPlan plan = new_plan();
    for (int32_t s = 0; s < count; ++s) {
      Sequence& sequence = sequences_[s];
      sequence.tokens = sequence.prompt;
      add_row(plan, s, 0, sequence.prompt);
      want(plan, s, DrawKind::next, 0);
      if (sequence.sampling.edits != 0)
        plan.setups.push_back({.slot = s, .prompt = sequence.prompt, .generated = {}, .edits = sequence.edits});
      if (with_draft) add_draft_row(plan, s, 0);
    }
    const StepResult result = run(std::move(plan));
    for (int32_t s = 0; s < count; ++s) sequences_[s].tokens.push_back(result.head[s].token);
  }

  // Decodes sequences [first, last) by up to drafts[s] + 1 tokens, drafted by the model, or by known[s] where that is
  // not empty.
  void decode(int32_t first, int32_t last, const std::vector<int32_t>& drafts,
              const std::vector<std::vector<int32_t>>& known = {}, std::vector<BlockCopy> copies = {}) {
    StepPlan plan = new_plan();
    plan.copies = std::move(copies);
    std::vector<size_t> heads;
    for (int32_t s = first; s < last; ++s) {
      const int32_t count = drafts[s];
      // Sequences with even numbers are fed their last token from the device.
      std::vector<int32_t> ids = {s % 2 == 0 ? input_from_slot(s) : sequences_[s].tokens.back()};
      for (int32_t i = 0; i < count; ++i) ids.push_back(input_from_draft(s, i, config_.max_batch));
      heads.push_back(plan.head.size());
      add_row(plan, s, static_cast<int32_t>(sequences_[s].tokens.size()) - 1, ids);
      if (count == 0) {
        want(plan, s, DrawKind::next, 0);
        continue;
      }
      plan.verify.push_back({.slot = s,
                             .first = static_cast<int32_t>(plan.head.size()),
                             .drafts = count,
                             .edits = sequences_[s].sampling.edits});
      for (int32_t i = 0; i <= count; ++i) want(plan, s, DrawKind::verify, i);
      if (known.empty())
        add_draft_row(plan, s, count);
      else
        plan.known_drafts.push_back({s, known[s]});
    }
    const StepResult result = run(std::move(plan));
    for (int32_t s = first; s < last; ++s) take(result, heads[s - first], s, drafts[s], known.empty());
  }

  // Makes sequence `to`, of an odd number, what `from` is so far; the next step has to do the copies.
  std::vector<BlockCopy> fork(int32_t from, int32_t to) {
    Sequence& copy = sequences_[to];
    copy.tokens = sequences_[from].tokens;
    copy.drafted_for = sequences_[from].drafted_for;
    std::vector<BlockCopy> copies;
    for (int32_t b = 0; b < blocks_each_; ++b) copies.push_back({block(from, b), block(to, b)});
    return copies;
  }

  int64_t steps_with_times() const { return steps_with_times_; }

 private:
  EngineConfig placed(EngineConfig config, size_t sequences, int32_t max_tokens) const {
    config.max_batch = static_cast<int32_t>(sequences);
    config.kv_blocks = static_cast<int64_t>(sequences) * ((max_tokens + config.block_size - 1) / config.block_size);
    return config;
  }
  int32_t blocks(int32_t tokens) const { return (tokens + config_.block_size - 1) / config_.block_size; }
  // Scattered, so that no order is like another.
  int32_t block(int32_t s, int32_t b) const { return b * static_cast<int32_t>(sequences_.size()) + s; }

  StepPlan new_plan() {
    StepPlan plan;
    plan.id = ++steps_;
    return plan;
  }

  void add_row(StepPlan& plan, int32_t s, int32_t first_position, const std::vector<int32_t>& ids) const {
    plan.rows.push_back({.slot = s,
                         .first_token = static_cast<int32_t>(plan.input_ids.size()),
                         .num_tokens = static_cast<int32_t>(ids.size()),
                         .first_position = first_position,
                         .first_block = static_cast<int32_t>(plan.block_tables.size()),
                         .num_blocks = blocks_each_});
    for (int32_t b = 0; b < blocks_each_; ++b) plan.block_tables.push_back(block(s, b));
    plan.input_ids.insert(plan.input_ids.end(), ids.begin(), ids.end());
  }

  HeadRow head_row(int32_t s) const {
    HeadRow row = sequences_[s].sampling;
    row.slot = s;
    row.position = static_cast<int32_t>(sequences_[s].tokens.size());
    return row;
  }

  // Of the last row's token that draft i is, or the last one.
  void want(StepPlan& plan, int32_t s, DrawKind kind, int32_t i) const {
    HeadRow row = head_row(s);
    row.draw = kind;
    row.position += i;
    row.drafted = i;
    const PlanRow& last = plan.rows.back();
    plan.head.push_back(row);
    plan.head_tokens.push_back(kind == DrawKind::next ? last.first_token + last.num_tokens - 1 : last.first_token + i);
  }

  void add_draft_row(StepPlan& plan, int32_t s, int32_t count) {
    Sequence& sequence = sequences_[s];
    const auto length = static_cast<int32_t>(sequence.tokens.size());
    plan.drafts.push_back({.row = static_cast<int32_t>(plan.rows.size()) - 1,
                           .first_id = static_cast<int32_t>(plan.draft_ids.size()),
                           .num_ids = length - sequence.drafted_for,
                           .first_position = sequence.drafted_for,
                           .num_drafts = count,
                           .head = head_row(s)});
    plan.draft_ids.insert(plan.draft_ids.end(), sequence.tokens.begin() + sequence.drafted_for, sequence.tokens.end());
    sequence.drafted_for = length + std::max(0, count - 1);
  }

  void take(const StepResult& result, size_t head, int32_t s, int32_t count, bool by_model) {
    Sequence& sequence = sequences_[s];
    const auto length = static_cast<int32_t>(sequence.tokens.size());
    int32_t accepted = 0;
    while (accepted < count && !(result.head[head + accepted + 1].flags & HeadResult::kRejected)) ++accepted;
    for (int32_t i = accepted + 1; i <= count; ++i)
      if (!(result.head[head + i].flags & HeadResult::kRejected)) throw Error(ExitCode::internal, "accepted after all");
    for (int32_t i = 0; i <= accepted; ++i) sequence.tokens.push_back(result.head[head + i].token);
    sequence.proposed += count;
    sequence.accepted += accepted;
    if (by_model && count > 0) sequence.drafted_for = std::min(sequence.drafted_for, length + accepted);
  }

  StepResult run(StepPlan plan) {
    const bool drafts = !plan.drafts.empty();
    ranks_.submit(std::move(plan));
    RankGroup::Done done = ranks_.wait();
    const StepResult& result = done.result;
    if (result.seconds > 0 && (result.draft_seconds > 0) == drafts && (result.idle_seconds > 0) == (steps_ > 1))
      ++steps_with_times_;
    return std::move(done.result);
  }

  const EngineConfig config_;
  const int32_t blocks_each_;
  std::vector<Sequence> sequences_;
  StageTimes times_;
  RankGroup ranks_;
  uint64_t steps_ = 0;
  int64_t steps_with_times_ = 0;
};

}  // namespace penstock::test
