#include "engine/schedule/scheduler.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "engine/schedule/scheduler_impl.h"
#include "kernels/error.h"

namespace penstock {
namespace {

double seconds_since(Sequence::Clock::time_point start) {
  return std::chrono::duration<double>(Sequence::Clock::now() - start).count();
}

// min_tokens bans the stop ids at first. An id with both has two edits, one after the other.
std::vector<LogitEdit> edits_of(const SequenceInput& input, int32_t prompt_size) {
  std::vector<LogitEdit> edits = input.sampling.logit_bias;
  if (input.stop.min_tokens > 0) {
    const int64_t until = int64_t{prompt_size} + input.stop.min_tokens;
    for (int32_t id : input.stop.stop_ids)
      edits.push_back({id, -std::numeric_limits<float>::infinity(),
                       static_cast<int32_t>(std::min<int64_t>(until, std::numeric_limits<int32_t>::max()))});
  }
  std::stable_sort(edits.begin(), edits.end(), [](const LogitEdit& a, const LogitEdit& b) { return a.id < b.id; });
  return edits;
}

bool has_penalties(const SamplingParams& sampling) {
  return sampling.repetition_penalty != 1 || sampling.frequency_penalty != 0 || sampling.presence_penalty != 0;
}

const SchedulerConfig& checked(const SchedulerConfig& config) {
  auto require = [](bool holds, const std::string& what) {
    if (!holds) throw Error(ExitCode::usage, "scheduler: " + what);
  };
  require(config.max_batch >= 1, "max_batch must be at least 1");
  require(config.max_step_tokens >= config.max_batch,
          "max_step_tokens (" + std::to_string(config.max_step_tokens) + ") must be at least max_batch (" +
              std::to_string(config.max_batch) + "): every running sequence gets its token in each step");
  require(config.max_head_rows >= config.max_batch,
          "max_head_rows (" + std::to_string(config.max_head_rows) + ") must be at least max_batch (" +
              std::to_string(config.max_batch) + "): every running sequence wants its logits in each step");
  require(config.block_size >= 1, "block_size must be at least 1");
  require(config.num_blocks >= 1, "num_blocks must be at least 1");
  require(config.max_context >= 1, "max_context must be at least 1");
  require(config.look_ahead >= 1, "look_ahead must be at least 1");
  require(config.long_rope_from >= 0 && config.long_rope_begin >= 0,
          "the long RoPE table begins before the first entry");
  return config;
}

}  // namespace

Scheduler::Impl::Impl(const SchedulerConfig& given)
    : config(checked(given)),
      blocks(config.num_blocks),
      cache(config.num_blocks),
      waiting(config.look_ahead, config.block_size),
      written_by(config.num_blocks, 0),
      slot_owner(config.max_batch, nullptr),
      free_slots(config.max_batch),
      controller(config.draft_share),
      model_filled(config.num_blocks, 0) {
  for (int32_t i = 0; i < config.max_batch; ++i) free_slots[i] = config.max_batch - 1 - i;
}

void Scheduler::Impl::add(SequenceInput input) {
  if (!admitting) throw Error(ExitCode::internal, "scheduler: add() after stop_admission()");
  auto sequence = std::make_unique<Sequence>();
  sequence->input = std::move(input);
  sequence->tokens = std::move(sequence->input.prompt);
  sequence->prompt_size = static_cast<int32_t>(sequence->tokens.size());
  sequence->max_new =
      std::max(0, std::min(sequence->input.stop.max_tokens, config.max_context - sequence->prompt_size));
  sequence->long_rope = takes_long_rope(sequence->length());
  sequence->edits = edits_of(sequence->input, sequence->prompt_size);
  sequence->edited = sequence->generates() && (!sequence->edits.empty() || has_penalties(sequence->input.sampling));
  sequence->arrival = ++num_arrivals;
  sequence->added = Sequence::Clock::now();
  sequence->output.tag = sequence->input.tag;

  if (std::string why = why_it_never_fits(*sequence); !why.empty())
    fail(*sequence, SequenceFault::never_fits, std::move(why));
  else if (!sequence->generates() && sequence->num_scores() == 0)
    finish(*sequence, sequence->input.score_from >= 1 ? FinishReason::scored : FinishReason::length);
  else
    waiting.push(std::move(sequence));
}

std::string Scheduler::Impl::why_it_never_fits(const Sequence& sequence) const {
  const std::string prompt = std::to_string(sequence.prompt_size) + " tokens";
  const std::string context = "the context of " + std::to_string(config.max_context);
  if (sequence.prompt_size == 0) return "the prompt has no tokens";
  if (sequence.input.score_from == 0 || sequence.input.score_from > sequence.prompt_size)
    return "score_from is " + std::to_string(sequence.input.score_from) + ", not in [1, " +
           std::to_string(sequence.prompt_size) + "]";
  const bool only_scored = sequence.input.score_from >= 1 && sequence.input.stop.max_tokens <= 0;
  const int32_t fed = sequence.prompt_size - only_scored;  // the last id scored is not fed
  if (fed > config.max_context) return "the text of " + prompt + " is longer than " + context;
  if (sequence.prompt_size == config.max_context && sequence.input.stop.max_tokens > 0)
    return "the prompt of " + prompt + " leaves no room for a token in " + context;
  if (sequence.edits.size() > static_cast<size_t>(kMaxLogitEdits))
    return std::to_string(sequence.edits.size()) + " biases and stop ids that min_tokens bans are more than " +
           std::to_string(kMaxLogitEdits);
  const int32_t needed = blocks_for(sequence.worst_length());
  if (needed <= config.num_blocks) return {};
  return "the prompt of " + prompt +
         (sequence.generates() ? " and up to " + std::to_string(sequence.max_new) + " new ones" : "") + " can need " +
         std::to_string(needed) + " KV blocks of " + std::to_string(config.block_size) + " tokens, the pool has " +
         std::to_string(config.num_blocks);
}

void Scheduler::Impl::fail(Sequence& sequence, SequenceFault fault, std::string error) {
  sequence.output.fault = fault;
  sequence.output.error = std::move(error);
  finish(sequence, FinishReason::error);
}

void Scheduler::Impl::finish(Sequence& sequence, FinishReason reason) {
  SequenceOutput& output = sequence.output;
  output.reason = reason;
  output.tokens.assign(sequence.tokens.begin() + sequence.prompt_size, sequence.tokens.end());
  output.total_seconds = seconds_since(sequence.added);
  if (config.speculation == Speculation::ngram || config.speculation == Speculation::automatic)
    ngram.learn(output.tokens);
  finished.push_back(std::move(output));
}

bool Scheduler::Impl::idle() const {
  return waiting.empty() && preempted.empty() && running.empty() && in_flight.empty();
}

Scheduler::Scheduler(const SchedulerConfig& config) : impl_(std::make_unique<Impl>(config)) {}
Scheduler::~Scheduler() = default;

void Scheduler::add(SequenceInput input) { impl_->add(std::move(input)); }
StepPlan Scheduler::plan() { return impl_->plan(); }
void Scheduler::commit(const StepResult& result) { impl_->commit(result); }
std::vector<SequenceOutput> Scheduler::take_finished() { return std::exchange(impl_->finished, {}); }

std::vector<uint64_t> Scheduler::stop_admission() {
  impl_->admitting = false;
  std::vector<uint64_t> tags;
  for (const auto& sequence : impl_->waiting.take_all()) tags.push_back(sequence->input.tag);
  return tags;
}

int32_t Scheduler::num_waiting() const { return impl_->waiting.size() + static_cast<int32_t>(impl_->preempted.size()); }
int32_t Scheduler::num_running() const { return static_cast<int32_t>(impl_->running.size()); }
std::vector<double> Scheduler::running_seconds() const {
  std::vector<double> seconds;
  seconds.reserve(impl_->running.size() + impl_->preempted.size());
  for (const auto* sequences : {&impl_->running, &impl_->preempted})
    for (const auto& sequence : *sequences)
      seconds.push_back(seconds_since(sequence->added) - sequence->output.queue_seconds);
  return seconds;
}
bool Scheduler::idle() const { return impl_->idle(); }
const SchedulerStats& Scheduler::stats() const { return impl_->stats; }
int64_t Scheduler::used_blocks() const { return impl_->blocks.num_used(); }
void Scheduler::check_consistency() const { impl_->check_consistency(); }
std::string Scheduler::dump() const { return impl_->dump(); }

}  // namespace penstock
