// Continuous batching: which tokens of which sequences the next step computes, and in which blocks.
//
// The only owner of sequences and block tables. Knows no device and no text: it can be driven by a model, or by a hash
// function in a test. All methods on one thread (the engine's).
//
// Protocol: add() any number; plan() a step; run it; commit() its result, in the order of plans. Up to `depth` plans may
// be in flight: plan() may be called again before the earlier result is committed, and then feeds tokens that are not
// known yet from the slots (step_plan.h). plan() returns an empty plan when there is nothing that can be done before a
// commit, or nothing at all.
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "engine/schedule/sequence.h"
#include "engine/schedule/speculation.h"
#include "engine/schedule/step_plan.h"

namespace penstock {

struct SchedulerConfig {
  int32_t max_batch = 64;              // sequences that run at the same time: device slots
  int32_t max_step_tokens = 2048;      // new tokens in one step
  int32_t max_head_rows = 512;         // wanted logits in one step (longer scoring spans take several steps)
  int32_t block_size = 64;             // tokens a block
  int32_t num_blocks = 0;              // of the pool
  int32_t max_context = 0;             // tokens a sequence may have, prompt and answer
  int32_t long_rope_from = 0;          // a sequence that is fed more tokens than this is rotated by the long table; 0: none
  int32_t long_rope_begin = 0;         // the entry where that table begins
  bool prefix_cache = true;
  Speculation speculation = Speculation::off;
  int32_t fixed_drafts = -1;           // for every row that can have so many; -1: as many as gain time
  int32_t draft_context = 0;           // of the draft model: positions that it knows; 0: there is none
  int32_t draft_step_tokens = 0;       // of the draft model: new tokens in one pass
  double draft_share = 0;              // of the draft model: what a pass may cost, by the target's, before it is measured
  int32_t look_ahead = 1024;           // waiting sequences that are reordered (same prefixes together, longest first)
};

struct SchedulerStats {
  int64_t steps = 0;
  int64_t preemptions = 0;
  int64_t recomputed_tokens = 0;       // computed a second time, after a preemption or with the long RoPE table
  int64_t prompt_tokens = 0;           // of admitted sequences (first admission)
  int64_t cached_tokens = 0;           // of those, found in the prefix cache
  int64_t peak_used_blocks = 0;        // referenced by sequences
  int64_t block_copies = 0;            // copy-on-write
  SpeculationStats speculation;
};

class Scheduler {
 public:
  explicit Scheduler(const SchedulerConfig& config);
  ~Scheduler();

  // Takes a sequence. One that could never fit (prompt + max_tokens, capped by max_context, against the whole pool; or
  // a prompt that leaves no room for a token) comes out of take_finished() with FinishReason::error. A text that is only
  // scored may have max_context + 1 tokens: its last one is not fed.
  void add(SequenceInput input);

  StepPlan plan();
  void commit(const StepResult& result);

  std::vector<SequenceOutput> take_finished();

  // Stops admitting: sequences that never ran are dropped and returned (their tags), running ones go on.
  std::vector<uint64_t> stop_admission();

  int32_t num_waiting() const;
  int32_t num_running() const;   // admitted, preempted ones not counted
  std::vector<double> running_seconds() const;  // since the first admission, preempted ones counted; in no order
  bool idle() const;             // nothing waiting, running or in flight
  const SchedulerStats& stats() const;
  int64_t used_blocks() const;

  // free + used + cached = total, reference counts match block tables, no block both free and referenced, slots unique …
  // Throws Error(internal) naming what is broken. Tests call it after every step.
  void check_consistency() const;
  std::string dump() const;      // for the message when no progress can be made

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace penstock
