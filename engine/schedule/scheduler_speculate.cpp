// Speculation: for whom a plan feeds drafts, and how many.
#include <algorithm>
#include <utility>

#include "engine/schedule/scheduler_impl.h"

namespace penstock {
namespace {

constexpr double kWorthWaiting = 1.1;  // the gain for which plans begin to wait for results
constexpr double kWorthTrying = 1.25;  // the same while what the draft model costs is only guessed
constexpr double kWorthProbing = 0.9;  // a gain that may have been misjudged
constexpr int32_t kQuietPlans = 2;     // without drafts, before they no longer do
constexpr int32_t kProbePlans = 4;
constexpr double kTrialsAtFirst = 4;
constexpr int64_t kRarestProbe = 4096;

// Of `count` drafts with these chances.
DraftCandidate candidate_for(int32_t count, bool by_model, const Acceptance& own, const Acceptance& all) {
  DraftCandidate candidate{.most = std::max(0, count), .by_model = by_model, .survival = {}};
  double survival = 1;
  for (int32_t i = 0; i < count; ++i) candidate.survival[i] = survival *= own.rate(i, &all);
  return candidate;
}

double expected_tokens(const DraftCandidate& candidate) {
  double sum = 0;
  for (int32_t i = 0; i < candidate.most; ++i) sum += candidate.survival[i];
  return sum;
}

}  // namespace

// Decides Drafting::count of every sequence for the plan that is about to be made, and whether plans wait for results.
// While they do not, what has just been drawn is not known: proposals are then held against it as it comes.
void Scheduler::Impl::choose_drafts() {
  if (config.speculation == Speculation::off || (speculating && !in_flight.empty())) return;
  for (const auto& sequence : running) sequence->drafting.count = sequence->drafting.catch_up = 0;
  if (!speculating && !looks_for_drafts()) return;

  const Proposals proposals = propose_all();
  const int64_t budget = std::min(config.max_step_tokens, config.max_head_rows) - proposals.rows;
  if (config.fixed_drafts >= 0) return give_fixed_drafts(proposals, budget);

  const bool may_probe = !speculating && proposals.by_model && --looks_to_probe <= 0;
  const DraftChoice choice =
      controller.choose(proposals.rows, budget, proposals.candidates, probe_plans > 0 || may_probe);
  if (may_probe) looks_to_probe = probe_interval = std::min(2 * probe_interval, kRarestProbe);
  if (!speculating) {
    if (choice.total == 0) return;
    if (may_probe && choice.gain >= kWorthProbing)
      probe_plans = kProbePlans;
    else if (choice.gain < (proposals.by_model && !controller.knows_drafting() ? kWorthTrying : kWorthWaiting))
      return;
    speculating = true;
    quiet_plans = 0;
    if (!in_flight.empty()) return;
  }
  if (probe_plans > 0) --probe_plans;
  for (size_t i = 0; i < proposals.owners.size(); ++i) proposals.owners[i]->drafting.count = choice.drafts[i];
  quiet_plans = choice.total > 0 || proposals.catches_up ? 0 : quiet_plans + 1;
  if (quiet_plans == kQuietPlans) speculating = false;
}

// For every sequence that decodes.
Proposals Scheduler::Impl::propose_all() {
  Proposals all;
  draft_tokens_left = config.draft_step_tokens;
  for (const auto& sequence : running) {
    if (!sequence->decoding() || outgrows_rope(*sequence)) continue;
    ++all.rows;
    const DraftCandidate candidate = propose(*sequence);
    all.catches_up |= sequence->drafting.catch_up > 0;
    if (candidate.most == 0) continue;
    all.by_model |= candidate.by_model;
    all.owners.push_back(sequence.get());
    all.candidates.push_back(candidate);
  }
  return all;
}

// While plans do not wait: not before every one, since it takes a while where many sequences run.
bool Scheduler::Impl::looks_for_drafts() {
  if (config.fixed_drafts >= 0) return true;
  if (plans_to_rest > 0) {
    --plans_to_rest;
    return false;
  }
  if (--plans_to_look > 0) return false;
  const auto rows = static_cast<int64_t>(running.size());
  plans_to_look = rows <= 16 ? 1 : rows <= 256 ? 8 : 32;
  return controller.could_gain(rows, std::min(config.max_step_tokens, config.max_head_rows) - rows);
}

void Scheduler::Impl::give_fixed_drafts(const Proposals& proposals, int64_t budget) {
  speculating = true;
  for (size_t i = 0; i < proposals.owners.size(); ++i) {
    const int64_t count = std::min<int64_t>({config.fixed_drafts, proposals.candidates[i].most, budget});
    proposals.owners[i]->drafting.count = static_cast<int32_t>(count);
    budget -= count;
  }
}

// That can be of use: not beyond its last token, nor beyond what its RoPE table is for.
int32_t Scheduler::Impl::most_drafts(const Sequence& sequence) const {
  int32_t most = std::min(kMaxDrafts, sequence.max_new - sequence.drawn - 1);
  if (config.long_rope_from > 0 && !sequence.long_rope)
    most = std::min(most, config.long_rope_from - sequence.length());
  return std::max(0, most);
}

// By whoever expects more of its drafts to be accepted.
DraftCandidate Scheduler::Impl::propose(Sequence& sequence) {
  const int32_t most = most_drafts(sequence);
  if (most == 0) return {};
  const DraftCandidate by_text = propose_by_text(sequence, most), by_model = propose_by_model(sequence, most);
  const bool model = expected_tokens(by_model) > expected_tokens(by_text);
  sequence.drafting.by_model = model;
  return model ? by_model : by_text;
}

DraftCandidate Scheduler::Impl::propose_by_text(Sequence& sequence, int32_t most) {
  if (config.speculation == Speculation::draft) return {};
  Drafting& drafting = sequence.drafting;
  const auto size = static_cast<int32_t>(sequence.tokens.size());
  if (drafting.proposal.empty() || speculating) {
    const int32_t agreed = drafting.proposal.empty() ? 0 : size - drafting.proposed_at;
    for (Acceptance* acceptance : {&drafting.ngram, &all_ngram}) acceptance->record(agreed, agreed);
    drafting.proposal = ngram.propose(sequence.tokens, drafting.index, kMaxDrafts);
    drafting.proposed_at = size;
  }
  // At first it is only watched how proposals do.
  if (!speculating && config.fixed_drafts < 0 && all_ngram.tried(0) < kTrialsAtFirst) return {};
  const auto count = std::min(most, static_cast<int32_t>(drafting.proposal.size()));
  return candidate_for(count, false, drafting.ngram, all_ngram);
}

// One that the draft model knows too little of catches up first, as far as its first pass has room.
DraftCandidate Scheduler::Impl::propose_by_model(Sequence& sequence, int32_t most) {
  if (config.draft_context == 0 || config.speculation == Speculation::ngram) return {};
  Drafting& drafting = sequence.drafting;
  const int32_t lacking = sequence.length() - drafting.model_computed;
  const int32_t count = std::min(most, config.draft_context - sequence.length());
  if (count <= 0 || draft_tokens_left == 0) return {};
  if (speculating && lacking > draft_tokens_left) {
    drafting.catch_up = draft_tokens_left;
    draft_tokens_left = 0;
    return {};
  }
  draft_tokens_left -= std::min(lacking, draft_tokens_left);
  DraftCandidate candidate = candidate_for(count, true, drafting.model, all_model);
  constexpr int32_t kAsEver = 2;  // its last token, and the draft that was the last one right
  candidate.catch_up = std::max(0, lacking - kAsEver);
  candidate.left = sequence.max_new - sequence.drawn;
  return candidate;
}

// As many as there are without taking any from others; drafts that have no place are left out.
void Scheduler::Impl::take_draft_blocks(Sequence& sequence) {
  int32_t& count = sequence.drafting.count;
  while (blocks_for(sequence.computed + 1 + count) > static_cast<int32_t>(sequence.blocks.size())) {
    if (blocks.num_available() - (reserved_blocks - reserve_of(sequence)) < 1) {
      count = static_cast<int32_t>(sequence.blocks.size()) * config.block_size - sequence.computed - 1;
      return;
    }
    sequence.blocks.push_back(take_block());
    reserved_blocks -= sequence.reserved;
  }
}

// Of a row that append_row makes: the ids behind its first.
void Scheduler::Impl::append_drafts(Sequence& sequence, StepBuilder& step) {
  StepPlan& plan = step.plan;
  Drafting& drafting = sequence.drafting;
  const int32_t count = drafting.count;
  const int32_t by_model = drafting.by_model ? count : 0;
  if (drafting.catch_up > 0 || by_model > 0) append_draft_pass(sequence, by_model, step);
  if (count == 0) return;
  for (int32_t i = 0; i < count; ++i) plan.input_ids.push_back(input_from_draft(sequence.slot, i, config.max_batch));
  if (!drafting.by_model)
    plan.known_drafts.push_back({sequence.slot, {drafting.proposal.begin(), drafting.proposal.begin() + count}});
  plan.verify.push_back({.slot = sequence.slot,
                         .first = static_cast<int32_t>(plan.head.size()),
                         .drafts = count,
                         .edits = sequence.edited});
  step.in_flight.by_model.push_back(drafting.by_model);
  step.in_flight.record.drafts += count;
}

void Scheduler::Impl::append_draft_pass(Sequence& sequence, int32_t num_drafts, StepBuilder& step) {
  StepPlan& plan = step.plan;
  Drafting& drafting = sequence.drafting;
  const int32_t begin = drafting.model_computed;
  const int32_t num_ids = num_drafts > 0 ? sequence.length() - begin : drafting.catch_up;
  HeadRow head = next_draw(sequence, sequence.length());
  head.draw = DrawKind::draft;
  head.top_logprobs = 0;
  plan.drafts.push_back({.row = static_cast<int32_t>(plan.rows.size()) - 1,
                         .first_id = static_cast<int32_t>(plan.draft_ids.size()),
                         .num_ids = num_ids,
                         .first_position = begin,
                         .num_drafts = num_drafts,
                         .head = head});
  plan.draft_ids.insert(plan.draft_ids.end(), sequence.tokens.begin() + begin,
                        sequence.tokens.begin() + begin + num_ids);
  drafting.model_computed = begin + num_ids + std::max(0, num_drafts - 1);
  step.in_flight.draft_slots.push_back(sequence.slot);
  StepRecord& record = step.in_flight.record;
  ++record.draft_rows;
  record.draft_passes = std::max<int64_t>(record.draft_passes, num_drafts);
  record.catch_up_tokens += num_ids - 1;
}

}  // namespace penstock
