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
  committed_id = plan.id;

  for (size_t i = 0; i < result.head.size(); ++i) {
    Sequence* sequence = slot_owner[plan.head_slots[i]];
    if (!sequence) continue;  // it has ended, or was preempted
    if (sequence->scoring())
      commit_score(*sequence, result.head[i]);
    else
      commit_token(*sequence, result.head[i]);
  }
  for (int32_t block : plan.blocks) drop_block(block);
  free_slots.insert(free_slots.end(), plan.slots.begin(), plan.slots.end());
}

void Scheduler::Impl::commit_token(Sequence& sequence, const HeadResult& head) {
  auto end = [&](FinishReason reason, const char* error = "") {
    leave(sequence);
    finish(*take_running(sequence), reason, error);
  };
  if (head.flags & HeadResult::kNonFinite) {
    for (int32_t block : sequence.blocks) cache.forget(block);  // what they hold is suspect
    return end(FinishReason::error, "NaN or infinity in the logits");
  }
  sequence.tokens.push_back(head.token);
  sequence.output.logprobs.push_back(head.logprob);
  const int32_t generated = static_cast<int32_t>(sequence.tokens.size()) - sequence.prompt_size;
  if (generated == 1)
    sequence.output.first_token_seconds =
        std::chrono::duration<double>(Sequence::Clock::now() - sequence.added).count();

  const StopRule& rule = sequence.input.stop;
  if (generated >= rule.min_tokens && contains(rule.stop_ids, head.token)) return end(FinishReason::stop);
  if (sequence.input.stop_watcher && sequence.input.stop_watcher(head.token)) return end(FinishReason::stop);
  if (generated == sequence.max_new) return end(FinishReason::length);
  offer_full_blocks(sequence);
}

void Scheduler::Impl::commit_score(Sequence& sequence, const HeadResult& head) {
  const bool finite = !(head.flags & HeadResult::kNonFinite);
  if (finite) sequence.output.scores.push_back({head.logprob, (head.flags & HeadResult::kArgmax) != 0});
  const int32_t wanted = sequence.prompt_size - sequence.input.score_from;
  if (finite && static_cast<int32_t>(sequence.output.scores.size()) < wanted) return;

  if (!finite)
    for (int32_t block : sequence.blocks) cache.forget(block);
  leave(sequence);
  const std::unique_ptr<Sequence> owner = take_running(sequence);
  if (finite)
    finish(*owner, FinishReason::scored);
  else
    finish(*owner, FinishReason::error, "NaN or infinity in the logits");
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
  return block;
}

void Scheduler::Impl::drop_block(int32_t block) { blocks.release(block, cache.holds(block)); }

}  // namespace penstock
