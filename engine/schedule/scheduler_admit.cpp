// Who joins the running sequences, and which blocks of others it shares.
#include <algorithm>
#include <optional>
#include <span>

#include "engine/schedule/scheduler_impl.h"

namespace penstock {
namespace {

constexpr int32_t kPreemptionsBeforeReserve = 3;

}  // namespace

// In order, until the first that does not fit: a smaller one behind it may not slip through, else it might never fit.
void Scheduler::Impl::admit(StepBuilder& step) {
  std::optional<Forecast> forecast;
  while (step.tokens_left > 0 && !free_slots.empty()) {
    Sequence* next = nullptr;
    if (!preempted.empty())
      next = preempted.front().get();
    else
      next = waiting.next([this](const Sequence& sequence) { return !waits_for_sibling(sequence); });
    if (!next) return;
    if (!forecast) forecast = forecast_running();
    if (!try_admit(*next, *forecast, step)) return;
  }
}

Forecast Scheduler::Impl::forecast_running() const {
  Forecast forecast(config.block_size);
  for (const auto& sequence : running) {
    if (!sequence->ends_at_its_length()) continue;
    const auto own = std::count_if(sequence->blocks.begin(), sequence->blocks.end(),
                                   [this](int32_t block) { return blocks.references(block) == 1; });
    forecast.add(growth_of(*sequence, static_cast<double>(own)));
  }
  return forecast;
}

// With `own` blocks of which nobody else has a share.
Forecast::Growth Scheduler::Impl::growth_of(const Sequence& sequence, double own) const {
  return {.steps = std::max(0, sequence.worst_length() - sequence.length()), .returning = own};
}

bool Scheduler::Impl::try_admit(Sequence& sequence, Forecast& forecast, StepBuilder& step) {
  const PrefixHit hit = find_prefix(sequence);
  const int32_t num_tokens = chunk_size(sequence, hit.tokens, step);
  if (num_tokens == 0) return false;

  // Blocks that leave the pool's stock: new ones, and cached ones that get an owner again.
  const int32_t known_blocks = blocks_for(sequence.length());
  int32_t taken = known_blocks - static_cast<int32_t>(hit.shared.size());
  for (int32_t block : hit.shared) taken += blocks.references(block) == 0;
  const bool reserve = sequence.output.preemptions >= kPreemptionsBeforeReserve;
  if (reserve) taken += blocks_for(sequence.worst_length()) - known_blocks;
  const int32_t available = blocks.num_available() - reserved_blocks;
  // One block each for those who grow and whose end is not known, so that they do not run out at once.
  const auto watermark = static_cast<int32_t>(std::count_if(running.begin(), running.end(), [](const auto& other) {
    return other->generates() && !other->ends_at_its_length();
  }));
  if (available < taken + watermark) return false;
  if (sequence.ends_at_its_length() && !reserve) {
    const Forecast::Growth growth = growth_of(sequence, taken);
    // Whoever is alone fits to its end.
    if (!running.empty() && !forecast.fits(growth, taken, available - watermark)) return false;
    forecast.add(growth);
  }

  sequence.reserved = reserve;
  start(sequence, hit, step);
  step.plan.num_prefill_tokens += num_tokens;
  append_row(sequence, num_tokens, step);
  return true;
}

void Scheduler::Impl::start(Sequence& sequence, const PrefixHit& hit, StepBuilder& step) {
  std::unique_ptr<Sequence> owner;
  if (sequence.ticket == 0) {
    owner = waiting.take(sequence);
    sequence.ticket = ++num_tickets;
    sequence.output.cached_tokens = std::min(hit.tokens, sequence.prompt_size);
    sequence.output.queue_seconds = std::chrono::duration<double>(Sequence::Clock::now() - sequence.added).count();
    stats.prompt_tokens += sequence.prompt_size;
    stats.cached_tokens += sequence.output.cached_tokens;
  } else {
    owner = std::move(preempted.front());
    preempted.erase(preempted.begin());
  }

  // References to what is shared come first: taking a block may evict an unreferenced one.
  sequence.blocks = hit.shared;
  for (int32_t block : hit.shared) blocks.retain(block);
  sequence.offered_blocks = static_cast<int32_t>(hit.shared.size());
  if (hit.take_over >= 0) {
    blocks.retain(hit.take_over);
    cache.forget(hit.take_over);  // until it is full again
    sequence.blocks.push_back(hit.take_over);
  }
  if (hit.copy_from >= 0) {
    blocks.retain(hit.copy_from);
    step.in_flight.blocks.push_back(hit.copy_from);
    sequence.blocks.push_back(take_block());
    step.plan.copies.push_back({.from = hit.copy_from, .to = sequence.blocks.back()});
    model_filled[sequence.blocks.back()] = model_filled[hit.copy_from];
    ++stats.block_copies;
  }
  const size_t known_blocks = blocks_for(sequence.length());
  while (sequence.blocks.size() < known_blocks) sequence.blocks.push_back(take_block());
  sequence.computed = hit.tokens;
  find_model_prefix(sequence);
  reserved_blocks += reserve_of(sequence);

  sequence.slot = free_slots.back();
  free_slots.pop_back();
  if (sequence.edited) {
    const auto answer = sequence.tokens.begin() + sequence.prompt_size;
    step.plan.setups.push_back({.slot = sequence.slot,
                                .prompt = {sequence.tokens.begin(), answer},
                                .generated = {answer, sequence.tokens.end()},
                                .edits = sequence.edits});
  }
  slot_owner[sequence.slot] = &sequence;
  running_of_request[sequence.input.request].push_back(&sequence);
  const auto place = std::upper_bound(running.begin(), running.end(), sequence.ticket,
                                      [](uint64_t ticket, const auto& other) { return ticket < other->ticket; });
  running.insert(place, std::move(owner));
}

// What the draft model has of the blocks that the sequence begins with.
void Scheduler::Impl::find_model_prefix(Sequence& sequence) {
  int32_t filled = 0;
  for (int32_t i = 0; i * config.block_size < sequence.computed; ++i) {
    int32_t& of_block = model_filled[sequence.blocks[i]];
    // The rest of a block that is its own will be written anew.
    of_block = std::min(of_block, sequence.computed - i * config.block_size);
    filled += of_block;
    if (of_block < config.block_size) break;
  }
  sequence.drafting.model_computed = sequence.drafting.model_noted = filled;
}

// The longest prefix whose K and V exist, short of the first position whose logits are wanted.
PrefixHit Scheduler::Impl::find_prefix(Sequence& sequence) {
  PrefixHit hit;
  const int32_t limit = sequence.first_wanted();
  const int32_t whole = limit / config.block_size;
  if (const Sequence* sibling = sibling_of(sequence, true)) {
    hit.shared.assign(sibling->blocks.begin(), sibling->blocks.begin() + whole);
    if (limit % config.block_size > 0) hit.copy_from = sibling->blocks[whole];
    hit.tokens = limit;
    return hit;
  }
  if (!config.prefix_cache) return hit;

  const int32_t full = static_cast<int32_t>(sequence.tokens.size()) / config.block_size;
  for (int32_t i = 0; i < full && i * config.block_size < limit; ++i) {
    const int32_t block = cache.find(hash_of_block(sequence, i));
    if (block < 0) break;
    if (i < whole) {
      hit.shared.push_back(block);
      hit.tokens += config.block_size;
    } else if (blocks.references(block) == 0) {
      hit.take_over = block;
      hit.tokens = limit;
    } else if (written_by[block] < current_plan()) {
      hit.copy_from = block;
      hit.tokens = limit;
    }
  }
  return hit;
}

// A running sequence of the same request and prompt, whose prompt an earlier plan has completed, or not yet. Whoever is
// to be scored computes its prompt itself.
const Sequence* Scheduler::Impl::sibling_of(const Sequence& sequence, bool prompt_planned) const {
  if (sequence.num_scores() > 0 || static_cast<int32_t>(sequence.tokens.size()) > sequence.prompt_size) return nullptr;
  const auto found = running_of_request.find(sequence.input.request);
  if (found == running_of_request.end()) return nullptr;
  for (const Sequence* other : found->second) {
    const bool planned = other->prompt_plan != 0 && other->prompt_plan < current_plan();
    if (planned == prompt_planned && other->generates() && other->long_rope == sequence.long_rope &&
        other->prompt_size == sequence.prompt_size &&
        std::equal(sequence.tokens.begin(), sequence.tokens.end(), other->tokens.begin()))
      return other;
  }
  return nullptr;
}

bool Scheduler::Impl::waits_for_sibling(const Sequence& sequence) const {
  return sibling_of(sequence, false) && !sibling_of(sequence, true);
}

const PrefixHash& Scheduler::Impl::hash_of_block(Sequence& sequence, int32_t index) {
  const std::span<const int32_t> ids = sequence.tokens;
  for (int32_t i = static_cast<int32_t>(sequence.hashes.size()); i <= index; ++i) {
    // K that was rotated otherwise must not be found: the chains differ from their root on.
    const PrefixHash root = {.low = sequence.long_rope, .high = 0};
    const PrefixHash previous = i == 0 ? root : sequence.hashes.back();
    sequence.hashes.push_back(extend_prefix(previous, ids.subspan(i * config.block_size, config.block_size)));
  }
  return sequence.hashes[index];
}

// Blocks whose ids are all known and whose K and V some plan has written, or is about to: later plans may share them,
// and so may rows that follow in the same plan.
void Scheduler::Impl::offer_full_blocks(Sequence& sequence) {
  if (!config.prefix_cache) return;
  const int32_t known = std::min(static_cast<int32_t>(sequence.tokens.size()), sequence.computed);
  for (; (sequence.offered_blocks + 1) * config.block_size <= known; ++sequence.offered_blocks) {
    const int32_t block = sequence.blocks[sequence.offered_blocks];
    if (cache.insert(hash_of_block(sequence, sequence.offered_blocks), block)) written_by[block] = sequence.last_plan;
  }
}

}  // namespace penstock
