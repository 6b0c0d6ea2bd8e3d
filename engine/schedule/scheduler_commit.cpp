// Results become tokens and scores; sequences end; what they held goes back to the pool.
#include <algorithm>
#include <string>

#include "engine/schedule/scheduler_impl.h"
#include "kernels/error.h"

namespace penstock {
namespace {

bool contains(const std::vector<int32_t>& ids, int32_t id) {
  return std::find(ids.begin(), ids.end(), id) != ids.end();
}

// A vocabulary smaller than what is wanted leaves places empty.
void append_top(std::vector<std::vector<TopLogprob>>& list, int32_t wanted, const TopLogprob* top) {
  if (wanted == 0) return;
  if (!top) throw Error(ExitCode::internal, "scheduler: a result lacks the top log-probabilities that were wanted");
  list.emplace_back(top, std::find_if(top, top + wanted, [](const TopLogprob& one) { return one.id < 0; }));
}

}  // namespace

void Scheduler::Impl::commit(const StepResult& result) {
  if (in_flight.empty() || result.id != in_flight.front().id)
    throw Error(ExitCode::internal, "scheduler: result of plan " + std::to_string(result.id) + " is not the next");
  const InFlight plan = std::move(in_flight.front());
  in_flight.pop_front();
  if (result.head.size() != plan.head_slots.size())
    throw Error(ExitCode::internal, "scheduler: plan " + std::to_string(plan.id) + " wanted " +
                                        std::to_string(plan.head_slots.size()) + " rows of logits, its result has " +
                                        std::to_string(result.head.size()));
  if (!result.top.empty() && result.top.size() != result.head.size() * kMaxTopLogprobs)
    throw Error(ExitCode::internal, "scheduler: plan " + std::to_string(plan.id) + " came back with " +
                                        std::to_string(result.top.size()) + " top log-probabilities");
  committed_id = plan.id;
  if (config.speculation != Speculation::off) settle_drafts(plan, result);

  for (size_t i = 0; i < result.head.size(); ++i) {
    Sequence* sequence = slot_owner[plan.head_slots[i]];
    if (!sequence) continue;  // it has ended, or was preempted
    if (result.head[i].flags & HeadResult::kRejected) continue;
    const TopLogprob* top = result.top.empty() ? nullptr : &result.top[i * kMaxTopLogprobs];
    if (commit_fault(*sequence, result.head[i])) continue;
    if (!sequence->scores_known())
      commit_score(*sequence, result.head[i], top);
    else
      commit_token(*sequence, result.head[i], top);
  }
  for (int32_t block : plan.blocks) drop_block(block);
  free_slots.insert(free_slots.end(), plan.slots.begin(), plan.slots.end());
}

void Scheduler::Impl::commit_token(Sequence& sequence, const HeadResult& head, const TopLogprob* top) {
  sequence.tokens.push_back(head.token);
  watch_proposal(sequence);
  sequence.output.logprobs.push_back(head.logprob);
  append_top(sequence.output.top_logprobs, sequence.input.sampling.top_logprobs, top);
  const int32_t generated = static_cast<int32_t>(sequence.tokens.size()) - sequence.prompt_size;
  if (generated == 1)
    sequence.output.first_token_seconds =
        std::chrono::duration<double>(Sequence::Clock::now() - sequence.added).count();

  if (contains(sequence.input.stop.stop_ids, head.token)) return end(sequence, FinishReason::stop);
  if (sequence.input.stop_watcher && sequence.input.stop_watcher(head.token)) return end(sequence, FinishReason::stop);
  if (generated == sequence.max_new) return end(sequence, FinishReason::length);
  offer_full_blocks(sequence);
}

void Scheduler::Impl::commit_score(Sequence& sequence, const HeadResult& head, const TopLogprob* top) {
  sequence.output.scores.push_back({head.logprob, (head.flags & HeadResult::kArgmax) != 0});
  append_top(sequence.output.score_top_logprobs, sequence.input.sampling.top_logprobs, top);
  if (!sequence.generates() && sequence.scores_known()) end(sequence, FinishReason::scored);
}

// True when there is no token or score to be had: the sequence has then ended.
bool Scheduler::Impl::commit_fault(Sequence& sequence, const HeadResult& head) {
  if (!(head.flags & (HeadResult::kNonFinite | HeadResult::kAllBanned))) return false;
  const bool non_finite = head.flags & HeadResult::kNonFinite;
  if (non_finite)
    for (int32_t block : sequence.blocks) cache.forget(block);  // what they hold is suspect
  leave(sequence);
  const std::unique_ptr<Sequence> owner = take_running(sequence);
  if (non_finite)
    fail(*owner, SequenceFault::non_finite_logits, "NaN or infinity in the logits");
  else
    fail(*owner, SequenceFault::all_ids_banned, "logit_bias and min_tokens leave no id that could be drawn");
  return true;
}

void Scheduler::Impl::end(Sequence& sequence, FinishReason reason) {
  leave(sequence);
  finish(*take_running(sequence), reason);
}

// The sequence stops running: its blocks and its slot go back with the last plan that names them. The last block goes
// first, so that of a cached prefix the end is evicted before the beginning, without which it could not be found.
void Scheduler::Impl::leave(Sequence& sequence) {
  reserved_blocks -= reserve_of(sequence);
  slot_owner[sequence.slot] = nullptr;
  const auto siblings = running_of_request.find(sequence.input.request);
  std::erase(siblings->second, &sequence);
  if (siblings->second.empty()) running_of_request.erase(siblings);

  if (sequence.last_plan > committed_id) {
    InFlight& plan = in_flight[sequence.last_plan - in_flight.front().id];
    plan.blocks.insert(plan.blocks.end(), sequence.blocks.rbegin(), sequence.blocks.rend());
    plan.slots.push_back(sequence.slot);
  } else {
    std::for_each(sequence.blocks.rbegin(), sequence.blocks.rend(), [this](int32_t block) { drop_block(block); });
    free_slots.push_back(sequence.slot);
  }
}

std::unique_ptr<Sequence> Scheduler::Impl::take_running(Sequence& sequence) {
  const auto found = std::lower_bound(running.begin(), running.end(), sequence.ticket,
                                      [](const auto& other, uint64_t ticket) { return other->ticket < ticket; });
  std::unique_ptr<Sequence> owner = std::move(*found);
  running.erase(found);
  return owner;
}

int32_t Scheduler::Impl::take_block() {
  const int32_t block = blocks.acquire();
  cache.forget(block);
  model_filled[block] = 0;
  return block;
}

void Scheduler::Impl::drop_block(int32_t block) { blocks.release(block, cache.holds(block)); }

}  // namespace penstock
