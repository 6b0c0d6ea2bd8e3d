// One step: a token for every decoding sequence, then prefill with what is left of the step's limits.
#include <algorithm>

#include "engine/schedule/scheduler_impl.h"
#include "kernels/error.h"

namespace penstock {

StepPlan Scheduler::Impl::plan() {
  choose_drafts();
  if (speculating && !in_flight.empty()) return {};  // first its results
  StepBuilder step;
  step.plan.id = step.in_flight.id = current_plan();
  step.tokens_left = config.max_step_tokens;
  step.heads_left = config.max_head_rows;

  change_rope_tables();
  plan_decodes(step);
  plan_prefills(step);
  admit(step);

  if (step.plan.empty()) {
    if (in_flight.empty() && !idle()) throw Error(ExitCode::internal, "scheduler: no progress is possible\n" + dump());
    return {};
  }
  last_id = step.plan.id;
  step.in_flight.record.rows = static_cast<int64_t>(step.plan.rows.size());
  step.in_flight.record.tokens = step.plan.num_tokens();
  step.in_flight.record.prefill_tokens = step.plan.num_prefill_tokens;
  step.in_flight.record.alone = speculating;
  step.in_flight.verify = step.plan.verify;
  in_flight.push_back(std::move(step.in_flight));
  ++stats.steps;
  stats.peak_used_blocks = std::max<int64_t>(stats.peak_used_blocks, blocks.num_used());
  return std::move(step.plan);
}

// As Hugging Face does, a sequence that crosses the length is computed anew, whole. It waits until all that was drawn
// of it is known: without that it could not be fed, and would come back short of the crossing.
void Scheduler::Impl::change_rope_tables() {
  if (config.long_rope_from == 0) return;
  std::vector<Sequence*> crossing;
  for (const auto& sequence : running)
    if (outgrows_rope(*sequence) && static_cast<int32_t>(sequence->tokens.size()) == sequence->length())
      crossing.push_back(sequence.get());
  for (Sequence* sequence : crossing) requeue(*sequence);
}

// Oldest first. make_room() may preempt sequences behind the current one: they have no row in this plan yet.
void Scheduler::Impl::plan_decodes(StepBuilder& step) {
  for (size_t i = 0; i < running.size(); ++i) {
    Sequence& sequence = *running[i];
    if (!sequence.decoding() || outgrows_rope(sequence)) continue;
    if (sequence.computed == static_cast<int32_t>(sequence.blocks.size()) * config.block_size) {
      if (!make_room(i, step)) continue;
      sequence.blocks.push_back(take_block());
      reserved_blocks -= sequence.reserved;
    }
    take_draft_blocks(sequence);
    append_row(sequence, 1 + sequence.drafting.count, step);
  }
}

void Scheduler::Impl::plan_prefills(StepBuilder& step) {
  for (const auto& sequence : running) {
    if (step.tokens_left == 0) return;
    if (sequence->decoding() || sequence->planned_out() || sequence->last_plan == step.plan.id) continue;
    const int32_t num_tokens = chunk_size(*sequence, sequence->computed, step);
    if (num_tokens == 0) continue;
    step.plan.num_prefill_tokens += num_tokens;
    append_row(*sequence, num_tokens, step);
  }
}

// How many tokens from `start` on fit the step's limits: its tokens, and the logits they want.
int32_t Scheduler::Impl::chunk_size(const Sequence& sequence, int32_t start, const StepBuilder& step) const {
  const int32_t num_tokens = std::min(sequence.length() - start, step.tokens_left);
  const int32_t quiet_tokens = std::max(0, sequence.first_wanted() - start);
  return std::min(num_tokens, quiet_tokens + step.heads_left);
}

void Scheduler::Impl::append_row(Sequence& sequence, int32_t num_tokens, StepBuilder& step) {
  StepPlan& plan = step.plan;
  const int32_t begin = sequence.computed, end = begin + num_tokens;
  const PlanRow row = {.slot = sequence.slot,
                       .first_token = static_cast<int32_t>(plan.input_ids.size()),
                       .num_tokens = num_tokens,
                       .first_position = begin,
                       .first_block = static_cast<int32_t>(plan.block_tables.size()),
                       .num_blocks = blocks_for(end),
                       .rope_begin = sequence.long_rope ? config.long_rope_begin : 0};
  plan.rows.push_back(row);
  const int32_t known = std::min(end, static_cast<int32_t>(sequence.tokens.size()));
  if (begin < known)
    plan.input_ids.insert(plan.input_ids.end(), sequence.tokens.begin() + begin, sequence.tokens.begin() + known);
  else  // a decode row: its one token was drawn by a plan whose result is not here yet
    plan.input_ids.push_back(input_from_slot(sequence.slot));
  append_drafts(sequence, step);
  plan.block_tables.insert(plan.block_tables.end(), sequence.blocks.begin(), sequence.blocks.begin() + row.num_blocks);

  append_heads(sequence, row, step);
  stats.recomputed_tokens += std::max(0, std::min(end, sequence.most_computed) - begin);
  sequence.computed = end;
  sequence.last_plan = plan.id;
  if (sequence.prompt_plan == 0 && end >= sequence.prompt_size) sequence.prompt_plan = plan.id;
  step.tokens_left -= num_tokens;
  offer_full_blocks(sequence);
}

void Scheduler::Impl::append_heads(Sequence& sequence, const PlanRow& row, StepBuilder& step) {
  auto want = [&](int32_t position, HeadRow head) {
    head.slot = sequence.slot;
    step.plan.head.push_back(head);
    step.plan.head_tokens.push_back(row.first_token + position - row.first_position);
    step.in_flight.head_slots.push_back(sequence.slot);
    --step.heads_left;
  };
  const int32_t end = row.first_position + row.num_tokens;
  const SamplingParams& sampling = sequence.input.sampling;
  for (; sequence.scores_planned < sequence.num_scores() && sequence.first_wanted() < end; ++sequence.scores_planned)
    want(sequence.first_wanted(),
         {.target = sequence.tokens[sequence.first_wanted() + 1], .top_logprobs = sampling.top_logprobs});
  if (!sequence.generates() || end < sequence.length()) return;
  for (int32_t position = sequence.length(); position <= end; ++position) {
    HeadRow head = next_draw(sequence, position);
    if (end > sequence.length()) head.draw = DrawKind::verify, head.drafted = position - sequence.length();
    want(position - 1, head);
  }
  sequence.drawn += end - sequence.length() + 1;
}

HeadRow Scheduler::Impl::next_draw(const Sequence& sequence, int32_t position) const {
  const SamplingParams& sampling = sequence.input.sampling;
  return {.slot = sequence.slot,
          .temperature = sampling.temperature,
          .top_p = sampling.top_p,
          .min_p = sampling.min_p,
          .top_k = sampling.top_k,
          .position = position,
          .choice = sequence.input.choice,
          .seed = sampling.seed,
          .repetition_penalty = sampling.repetition_penalty,
          .frequency_penalty = sampling.frequency_penalty,
          .presence_penalty = sampling.presence_penalty,
          .top_logprobs = sampling.top_logprobs,
          .edits = sequence.edited};
}

// True once running[index] can take a block. Otherwise it stalls until a commit: blocks are on their way, or it is
// itself the next that older sequences would preempt, and keeps what it has computed as long as they do not need it.
// Someone always advances: the oldest, or a sequence with a reservation that the oldest waits for.
bool Scheduler::Impl::make_room(size_t index, StepBuilder& step) {
  const Sequence& sequence = *running[index];
  while (blocks.num_available() - (reserved_blocks - reserve_of(sequence)) < 1) {
    if (returning_blocks() > step.promised_blocks) {
      ++step.promised_blocks;
      return false;
    }
    Sequence* victim = victim_for(index);
    if (!victim) return false;
    preempt(*victim);
  }
  return true;
}

// Blocks that come back with the commits of plans in flight, at least: a shared one may stay with its other users.
int32_t Scheduler::Impl::returning_blocks() const {
  int32_t count = 0;
  auto add = [&](const std::vector<int32_t>& list) {
    for (int32_t block : list) count += blocks.references(block) == 1;
  };
  for (const InFlight& plan : in_flight) add(plan.blocks);
  for (const auto& sequence : running)
    if (sequence->planned_out()) add(sequence->blocks);
  return count;
}

// The youngest behind running[index]. Not one with a reservation: it needs nothing more to reach its end, so that even
// the oldest can wait for it.
Sequence* Scheduler::Impl::victim_for(size_t index) {
  for (size_t i = running.size(); --i > index;)
    if (!running[i]->planned_out() && !running[i]->reserved) return running[i].get();
  return nullptr;
}

// Results still in flight for the victim will be dropped and drawn again: the same, since draws are keyed.
void Scheduler::Impl::preempt(Sequence& victim) {
  ++victim.output.preemptions;
  ++stats.preemptions;
  requeue(victim);
}

// From running to the front of those that wait, with what is known of it.
void Scheduler::Impl::requeue(Sequence& sequence) {
  leave(sequence);
  sequence.reset_to_known();
  if (!sequence.long_rope && takes_long_rope(sequence.length())) {
    sequence.long_rope = true;
    sequence.hashes.clear();
  }
  const auto place = std::upper_bound(preempted.begin(), preempted.end(), sequence.ticket,
                                      [](uint64_t ticket, const auto& other) { return ticket < other->ticket; });
  preempted.insert(place, take_running(sequence));
}

}  // namespace penstock
