// The Scheduler's parts, and the invariants that hold between its calls. Included by scheduler*.cpp only.
//
// Where a sequence is:  waiting -> running -> finished, and from running to preempted and back. A sequence that grows
// beyond what the short RoPE table is for goes that way as well, to be computed anew with the long one.
//
// Blocks. An admitted sequence has blocks for all that is known of it; after that only decoding takes blocks, one at a
// time. A block that several tables name is full and is never written: whoever begins inside one gets a copy first
// (StepPlan::copies), so nothing is left to be copied later. What a plan names stays out of the pool until the plan has
// been committed (InFlight::blocks, ::slots), though device order alone would permit reuse.
//
// Within one plan a row may read blocks that an earlier row of the same plan writes: in every layer the K and V of all
// rows are stored before any row attends. Copies precede the step, so what they read was written by earlier plans.
//
// Speculation. What follows a draft hangs on whether it is accepted, so a plan that feeds drafts is alone in flight. A
// row of 1 + k tokens draws 1 + k; `computed` and `drawn` count all of them until the commit knows how many were right,
// and sets both back with the blocks that are not needed then. What rejected drafts left in the cache is behind
// `computed`, and written again before it is read.
//
// Results find their sequence by slot: a slot has no owner once its sequence has ended or been preempted, and gets no
// other before its last plan has been committed. Results for a slot without owner are surplus and dropped.
#pragma once
#include <deque>
#include <memory>
#include <unordered_map>
#include <vector>

#include "engine/schedule/block_manager.h"
#include "engine/schedule/draft_controller.h"
#include "engine/schedule/drafter.h"
#include "engine/schedule/forecast.h"
#include "engine/schedule/prefix_cache.h"
#include "engine/schedule/scheduler.h"
#include "engine/schedule/sequence_state.h"
#include "engine/schedule/waiting_queue.h"

namespace penstock {

// A plan whose result is not here yet.
struct InFlight {
  uint64_t id = 0;
  std::vector<int32_t> head_slots;  // whose each wanted row of logits is
  std::vector<int32_t> blocks;      // references to give back with its commit
  std::vector<int32_t> slots;       // likewise
  std::vector<VerifyRow> verify;
  std::vector<bool> by_model;        // [verify] who drafted
  std::vector<int32_t> draft_slots;  // that the draft model was fed for
  StepRecord record;                 // without its times
};

// A plan in the making, and what is left of its limits.
struct StepBuilder {
  StepPlan plan;
  InFlight in_flight;
  int32_t tokens_left = 0;
  int32_t heads_left = 0;
  int32_t promised_blocks = 0;  // of those that come back with a commit: spoken for by stalled decoders
};

// For whom drafts could be fed.
struct Proposals {
  int64_t rows = 0;  // sequences that decode, with a proposal or not
  std::vector<Sequence*> owners;
  std::vector<DraftCandidate> candidates;     // [owners]
  bool catches_up = false, by_model = false;  // of any: the draft model is fed before it drafts, or it drafts
};

// What an admitted sequence need not compute.
struct PrefixHit {
  int32_t tokens = 0;
  std::vector<int32_t> shared;  // full blocks, read only
  int32_t copy_from = -1;       // the block after them holds the rest of `tokens` and belongs to others too
  int32_t take_over = -1;       // or it belongs to nobody, and can be written in place
};

struct Scheduler::Impl {
  explicit Impl(const SchedulerConfig& config);

  // scheduler.cpp: the border
  void add(SequenceInput input);
  std::string why_it_never_fits(const Sequence& sequence) const;
  void finish(Sequence& sequence, FinishReason reason);
  void fail(Sequence& sequence, SequenceFault fault, std::string error);
  bool idle() const;

  // scheduler_plan.cpp: one step
  StepPlan plan();
  void change_rope_tables();
  void plan_decodes(StepBuilder& step);
  void plan_prefills(StepBuilder& step);
  int32_t chunk_size(const Sequence& sequence, int32_t start, const StepBuilder& step) const;
  HeadRow next_draw(const Sequence& sequence, int32_t position) const;
  void append_row(Sequence& sequence, int32_t num_tokens, StepBuilder& step);
  void append_heads(Sequence& sequence, const PlanRow& row, StepBuilder& step);
  bool make_room(size_t index, StepBuilder& step);
  int32_t returning_blocks() const;
  Sequence* victim_for(size_t index);
  void preempt(Sequence& victim);
  void requeue(Sequence& sequence);

  // scheduler_speculate.cpp: who is drafted for
  void choose_drafts();
  bool looks_for_drafts();
  Proposals propose_all();
  void give_fixed_drafts(const Proposals& proposals, int64_t budget);
  int32_t most_drafts(const Sequence& sequence) const;
  DraftCandidate propose(Sequence& sequence);
  DraftCandidate propose_by_text(Sequence& sequence, int32_t most);
  DraftCandidate propose_by_model(Sequence& sequence, int32_t most);
  void take_draft_blocks(Sequence& sequence);
  void append_drafts(Sequence& sequence, StepBuilder& step);
  void append_draft_pass(Sequence& sequence, int32_t num_drafts, StepBuilder& step);

  // scheduler_settle.cpp: what became of it
  void watch_proposal(Sequence& sequence);
  void settle_drafts(const InFlight& plan, const StepResult& result);
  void settle_row(const VerifyRow& row, int32_t accepted, bool by_model);
  void judge(double without, double seconds);
  void note_model_filled(Sequence& sequence);

  // scheduler_admit.cpp: who joins, and what it shares
  void admit(StepBuilder& step);
  Forecast forecast_running() const;
  Forecast::Growth growth_of(const Sequence& sequence, double own) const;
  bool try_admit(Sequence& sequence, Forecast& forecast, StepBuilder& step);
  void start(Sequence& sequence, const PrefixHit& hit, StepBuilder& step);
  PrefixHit find_prefix(Sequence& sequence);
  void find_model_prefix(Sequence& sequence);
  const Sequence* sibling_of(const Sequence& sequence, bool prompt_planned) const;
  bool waits_for_sibling(const Sequence& sequence) const;
  const PrefixHash& hash_of_block(Sequence& sequence, int32_t index);
  void offer_full_blocks(Sequence& sequence);

  // scheduler_commit.cpp: results, and what goes back to the pool
  void commit(const StepResult& result);
  void commit_token(Sequence& sequence, const HeadResult& head, const TopLogprob* top);
  void commit_score(Sequence& sequence, const HeadResult& head, const TopLogprob* top);
  bool commit_fault(Sequence& sequence, const HeadResult& head);
  void end(Sequence& sequence, FinishReason reason);
  void leave(Sequence& sequence);
  std::unique_ptr<Sequence> take_running(Sequence& sequence);
  int32_t take_block();
  void drop_block(int32_t block);

  // scheduler_check.cpp
  void check_consistency() const;
  void check_running() const;
  std::string dump() const;

  int32_t blocks_for(int32_t tokens) const { return (tokens + config.block_size - 1) / config.block_size; }
  // Blocks that a reserved sequence may still take, and others may not.
  int32_t reserve_of(const Sequence& sequence) const {
    return sequence.reserved ? blocks_for(sequence.worst_length()) - static_cast<int32_t>(sequence.blocks.size()) : 0;
  }
  uint64_t current_plan() const { return last_id + 1; }
  bool takes_long_rope(int32_t fed) const { return config.long_rope_from > 0 && fed > config.long_rope_from; }
  // Its next token needs the long table, but what is computed of it was rotated by the short one.
  bool outgrows_rope(const Sequence& sequence) const {
    return sequence.decoding() && !sequence.long_rope && takes_long_rope(sequence.length());
  }

  const SchedulerConfig config;
  SchedulerStats stats;
  BlockManager blocks;
  PrefixCache cache;
  WaitingQueue waiting;
  std::vector<uint64_t> written_by;                  // [num_blocks] of cached blocks: no later plan wrote them
  std::vector<std::unique_ptr<Sequence>> preempted;  // by ticket; ahead of everything that waits
  std::vector<std::unique_ptr<Sequence>> running;    // by ticket: the first is the oldest
  std::unordered_map<uint64_t, std::vector<Sequence*>> running_of_request;
  std::vector<Sequence*> slot_owner;  // [max_batch]
  std::vector<int32_t> free_slots;
  std::deque<InFlight> in_flight;  // consecutive ids
  std::vector<SequenceOutput> finished;
  NgramDrafter ngram;
  DraftController controller;
  Acceptance all_ngram, all_model;    // of all sequences
  std::vector<int32_t> model_filled;  // [num_blocks] leading positions whose K and V the draft model's pool has
  bool speculating = false;           // plans wait for the results of the one before
  int32_t quiet_plans = 0;            // since one had drafts, while speculating
  int32_t probe_plans = 0;            // still to be tried even at a loss
  int64_t plans_to_look = 0, looks_to_probe = 64, probe_interval = 64, plans_to_rest = 0, rest_interval = 64;
  double judged_without = 0, judged_seconds = 0;  // of the latest steps with drafts
  int64_t judged_steps = 0;
  int32_t draft_tokens_left = 0;  // of the draft model's first pass, in the plan being made
  int32_t reserved_blocks = 0;    // sum of reserve_of() over running
  uint64_t last_id = 0;           // of the last plan made
  uint64_t committed_id = 0;
  uint64_t num_arrivals = 0;
  uint64_t num_tickets = 0;
  bool admitting = true;
};

}  // namespace penstock
