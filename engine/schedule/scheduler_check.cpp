// Integrity as a function, and the state in words for when it is broken.
#include <sstream>
#include <string>

#include "engine/schedule/scheduler_impl.h"
#include "kernels/error.h"

namespace penstock {
namespace {

[[noreturn]] void broken(const std::string& what) { throw Error(ExitCode::internal, "scheduler: " + what); }

}  // namespace

void Scheduler::Impl::check_consistency() const {
  std::vector<int32_t> users(config.num_blocks, 0);  // of each block, tables and plans in flight
  std::vector<int32_t> tables(config.num_blocks, 0);
  for (const auto& sequence : running)
    for (int32_t block : sequence->blocks) ++users[block], ++tables[block];
  for (const InFlight& plan : in_flight)
    for (int32_t block : plan.blocks) ++users[block];
  blocks.check_consistency(users);
  cache.check_consistency(blocks);
  waiting.check_consistency();
  check_running();

  // What is yet to be written belongs to one sequence, and cannot be found by others.
  for (const auto& sequence : running)
    for (size_t i = sequence->computed / config.block_size; i < sequence->blocks.size(); ++i) {
      if (tables[sequence->blocks[i]] != 1) broken("a block that will be written is shared");
      if (cache.holds(sequence->blocks[i])) broken("a block that will be written is in the prefix cache");
    }
}

void Scheduler::Impl::check_running() const {
  size_t slots = free_slots.size(), owned = 0;
  for (const InFlight& plan : in_flight) slots += plan.slots.size();
  for (const Sequence* owner : slot_owner) owned += owner != nullptr;
  if (slots + owned != slot_owner.size() || owned != running.size()) broken("slots are lost, or owned twice");

  int32_t reserved = 0;
  uint64_t ticket = 0;
  for (const auto& sequence : running) {
    const std::string name = "sequence " + std::to_string(sequence->arrival);
    if (sequence->ticket <= ticket) broken(name + " is out of order");
    ticket = sequence->ticket;
    if (slot_owner[sequence->slot] != sequence.get()) broken(name + " does not own its slot");
    const int32_t num_blocks = static_cast<int32_t>(sequence->blocks.size());
    if (num_blocks < blocks_for(sequence->computed)) broken(name + " has computed more than its blocks hold");
    if (num_blocks > blocks_for(sequence->worst_length())) broken(name + " has more blocks than it can ever need");
    if (sequence->computed > sequence->length()) broken(name + " has computed more than there is");
    if (sequence->drawn > sequence->max_new) broken(name + " has drawn more than its limit");
    reserved += reserve_of(*sequence);
  }
  if (reserved != reserved_blocks) broken("reserved blocks are miscounted");
  if (reserved > blocks.num_available()) broken("reserved blocks are not there");
  if (free_slots.size() > slot_owner.size()) broken("more slots are free than there are");
}

std::string Scheduler::Impl::dump() const {
  std::ostringstream out;
  out << blocks.num_free() << " free + " << blocks.num_used() << " used + " << blocks.num_cached() << " cached of "
      << config.num_blocks << " blocks of " << config.block_size << " tokens, " << reserved_blocks << " reserved; "
      << waiting.size() << " waiting, " << in_flight.size() << " plans in flight, last plan " << last_id
      << ", committed " << committed_id << "\n";
  auto list = [&](const char* state, const std::vector<std::unique_ptr<Sequence>>& sequences) {
    for (const auto& s : sequences)
      out << state << " #" << s->arrival << " ticket " << s->ticket << " slot " << s->slot << ": prompt "
          << s->prompt_size << ", known " << s->tokens.size() << ", drawn " << s->drawn << " of " << s->max_new
          << ", computed " << s->computed << ", blocks " << s->blocks.size() << " of " << blocks_for(s->worst_length())
          << ", preempted " << s->output.preemptions << " times" << (s->reserved ? ", reserved" : "")
          << (s->long_rope ? ", long RoPE" : "") << ", scores " << s->output.scores.size() << " of " << s->num_scores()
          << "\n";
  };
  list("running", running);
  list("preempted", preempted);
  return out.str();
}

}  // namespace penstock
