// A sequence between add() and its output: what is known of it, and how far the plans made so far have taken it.
// Plans run ahead of results, so two frontiers are kept: `tokens` are known ids (committed), while `computed`, `drawn`
// and `scores_planned` count what has been planned, whether its result is here or not. Only the Scheduler writes it.
#pragma once
#include <algorithm>
#include <chrono>
#include <cstdint>
#include <vector>

#include "engine/schedule/acceptance.h"
#include "engine/schedule/ngram_index.h"
#include "engine/schedule/prefix_cache.h"
#include "engine/schedule/sequence.h"

namespace penstock {

// What is drafted for a sequence, and how that went.
struct Drafting {
  NgramIndex index;
  Acceptance ngram, model;
  std::vector<int32_t> proposal;  // what the text may be followed by; all that came since has agreed
  int32_t proposed_at = 0;        // how long the text was
  // Of the plan being made.
  int32_t count = 0;      // drafts
  bool by_model = false;  // they are the draft model's
  int32_t catch_up = 0;   // known ids that the draft model is fed, without drafting yet
  // Positions [0, model_computed) have their K and V in the draft model's pool, and [0, model_noted) are counted in
  // Impl::model_filled. While drafts are in flight the first is what it will be if all are accepted.
  int32_t model_computed = 0, model_noted = 0;
};

struct Sequence {
  using Clock = std::chrono::steady_clock;

  SequenceInput input;  // its prompt has moved into `tokens`
  SequenceOutput output;
  std::vector<int32_t> tokens;  // prompt, then the generated ids that are known
  int32_t prompt_size = 0;
  int32_t max_new = 0;   // tokens to generate at most, capped by the context
  uint64_t arrival = 0;  // order of add()
  uint64_t ticket = 0;   // order of first admission, from 1; age, where preemption is concerned
  Clock::time_point added;
  PrefixHash group;              // of its first block: sequences of a group are admitted together
  bool edited = false;           // its logits are edited before a token is drawn: the device keeps state for it
  std::vector<LogitEdit> edits;  // biases, and the bans of stop ids; ids ascending

  // On the device. A preemption resets these.
  bool long_rope = false;  // rotated by the table for long sequences
  int32_t slot = -1;
  std::vector<int32_t> blocks;
  int32_t computed = 0;  // positions [0, computed) have their K and V written by some plan
  int32_t drawn = 0;     // generated tokens, in flight ones included
  int32_t scores_planned = 0;
  uint64_t last_plan = 0;    // the last one that names its slot and blocks
  uint64_t prompt_plan = 0;  // the one that completed its prompt; 0: not yet
  bool reserved = false;     // its worst case is held back from others

  std::vector<PrefixHash> hashes;  // of its full blocks of known ids, as far as they were needed
  int32_t offered_blocks = 0;      // the first of its blocks, which the prefix cache has been offered or has given
  int32_t most_computed = 0;       // `computed` before the last preemption

  Drafting drafting;

  // A prompt may be scored, continued, or both: then its scores come first.
  bool generates() const { return max_new > 0; }
  int32_t num_scores() const { return input.score_from >= 1 ? prompt_size - input.score_from : 0; }
  bool scores_known() const { return static_cast<int32_t>(output.scores.size()) == num_scores(); }

  // Positions to be fed so that everything known and drawn has been used. Of a text that is only scored, the last token
  // predicts nothing.
  int32_t length() const { return generates() ? prompt_size + drawn : prompt_size - 1; }
  int32_t worst_length() const { return prompt_size + max_new - 1; }

  // Nothing but its length ends it.
  bool ends_at_its_length() const { return generates() && input.stop.stop_ids.empty() && !input.stop_watcher; }

  // No plan needs to feed it any more; its last results may still be in flight.
  bool planned_out() const { return generates() ? drawn == max_new : computed == length(); }
  // The next row is one token that was drawn before.
  bool decoding() const { return drawn > 0 && drawn < max_new && computed == length() - 1; }

  // Everything from here on has to be computed, since its logits are wanted.
  int32_t first_wanted() const {
    return scores_planned < num_scores() ? input.score_from + scores_planned - 1 : length() - 1;
  }

  void reset_to_known() {
    slot = -1;
    blocks.clear();
    most_computed = std::max(most_computed, computed);
    computed = 0;
    drawn = static_cast<int32_t>(tokens.size()) - prompt_size;
    scores_planned = static_cast<int32_t>(output.scores.size());
    prompt_plan = 0;
    reserved = false;
    offered_blocks = 0;
    drafting.count = drafting.catch_up = 0;
  }
};

}  // namespace penstock
