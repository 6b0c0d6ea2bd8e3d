// How many drafts the rows of a step are worth: the number that makes the most tokens a second, often none.
//
// A step with n more tokens costs T(rows + n), and the draft model's passes; a draft is worth the probability that it
// and those before it are accepted. All three are learnt in the run. The drafts of all rows compete for one budget.
#pragma once
#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "engine/schedule/step_cost.h"
#include "kernels/step_view.h"

namespace penstock {

// A row that may be drafted for.
struct DraftCandidate {
  int32_t most = 0;                           // drafts, [1, kMaxDrafts]
  bool by_model = false;                      // they have to be computed
  int32_t catch_up = 0;                       // tokens that the draft model has to be fed first, once
  int32_t left = 1;                           // tokens that the sequence may still have
  std::array<double, kMaxDrafts> survival{};  // [most] probability that a draft and all before it are accepted; falls
};

struct DraftChoice {
  std::vector<int32_t> drafts;  // [candidates]
  int32_t total = 0;            // their sum
  double gain = 1;              // expected tokens a second, by those of the step without drafts
};

// A step that was done.
struct StepRecord {
  int64_t rows = 0, tokens = 0, prefill_tokens = 0;
  int64_t drafts = 0;                        // of its tokens
  int64_t draft_rows = 0, draft_passes = 0;  // of the draft model
  int64_t catch_up_tokens = 0;               // that the first pass was fed beside one a row
  bool alone = false;                        // nothing else was in flight: the device waited for the host before it
  bool warming = false;                      // something ran for the first time: no later one is like it
  double seconds = 0, draft_seconds = 0, idle_seconds = 0;
};

class DraftController {
 public:
  // draft_share: what a pass of the draft model costs, by the target's, until it has been measured.
  explicit DraftController(double draft_share) : draft_share_(draft_share) {}

  void observe(const StepRecord& step);

  // rows: that decode, candidates among them. budget: drafts at most. even_at_a_loss: to learn what they cost, the best
  // choice that drafts at all.
  DraftChoice choose(int64_t rows, int64_t budget, std::span<const DraftCandidate> candidates,
                     bool even_at_a_loss = false) const;

  // Whether drafts could gain anything if all were accepted; by_model: those of the draft model.
  bool could_gain(int64_t rows, int64_t budget, bool by_model = false) const;

  // Steps of this size have been measured.
  bool knows(int64_t tokens) const { return decoding_.knows(tokens); }
  // What the draft model costs has been measured.
  bool knows_drafting() const { return draft_.largest() > 0; }

  // Of a step that decodes `rows` sequences without drafts. 0: not known yet.
  double plain_seconds(int64_t rows) const { return step_seconds(rows); }

 private:
  double step_seconds(int64_t tokens) const;
  double pass_seconds(int64_t rows) const;
  double catch_up_seconds(std::span<const DraftCandidate> candidates) const;

  const double draft_share_;
  StepCost decoding_;  // steps without prefill
  StepCost any_;       // all steps: what larger ones may cost
  StepCost draft_;     // one pass of the draft model, by its rows
  StepCost gap_;       // the device's wait before a step whose drafts hung on the one before
};

}  // namespace penstock
