#include "engine/schedule/draft_controller.h"

#include <algorithm>

namespace penstock {
namespace {

struct Draft {
  double worth;
  int32_t candidate, position;
};

// The likeliest first; of one candidate they fall, so that a prefix of the list holds prefixes of proposals.
std::vector<Draft> by_worth(std::span<const DraftCandidate> candidates, int64_t budget) {
  std::vector<Draft> drafts;
  for (size_t c = 0; c < candidates.size(); ++c)
    for (int32_t i = 0; i < candidates[c].most; ++i)
      drafts.push_back({candidates[c].survival[i], static_cast<int32_t>(c), i});
  std::stable_sort(drafts.begin(), drafts.end(), [](const Draft& a, const Draft& b) { return a.worth > b.worth; });
  if (static_cast<int64_t>(drafts.size()) > budget) drafts.resize(budget);
  return drafts;
}

}  // namespace

void DraftController::observe(const StepRecord& step) {
  if (step.warming) return;
  any_.observe(step.tokens, step.seconds);
  if (step.prefill_tokens == 0) decoding_.observe(step.tokens, step.seconds);
  if (step.draft_passes > 0 && step.catch_up_tokens <= step.draft_rows)
    draft_.observe(step.draft_rows, step.draft_seconds / static_cast<double>(step.draft_passes));
  if (step.alone && step.drafts > 0) gap_.observe(1, step.idle_seconds);
}

double DraftController::step_seconds(int64_t tokens) const {
  const int64_t largest = decoding_.largest();
  if (largest == 0 || tokens <= largest) return decoding_.seconds(tokens);
  const double known = decoding_.seconds(largest);
  if (any_.largest() <= largest) return decoding_.seconds(tokens);
  return known * std::max(1.0, any_.seconds(tokens) / any_.seconds(largest));
}

double DraftController::pass_seconds(int64_t rows) const {
  return draft_.largest() > 0 ? draft_.seconds(rows) : draft_share_ * step_seconds(rows);
}

// Of a step's share: what is fed once serves all the steps that are left.
double DraftController::catch_up_seconds(std::span<const DraftCandidate> candidates) const {
  constexpr double kTokensAStep = 2, kShareOfLeft = 0.5;  // sequences may end before their limit
  double sum = 0;
  for (const DraftCandidate& candidate : candidates) {
    if (!candidate.by_model || candidate.catch_up == 0) continue;
    const double steps = std::max(1.0, kShareOfLeft / kTokensAStep * candidate.left);
    sum += draft_share_ * any_.seconds(candidate.catch_up) / steps;
  }
  return sum;
}

DraftChoice DraftController::choose(int64_t rows, int64_t budget, std::span<const DraftCandidate> candidates,
                                    bool even_at_a_loss) const {
  DraftChoice choice;
  choice.drafts.resize(candidates.size(), 0);
  const double plain = step_seconds(rows);
  if (plain == 0 || candidates.empty()) return choice;
  const double plain_rate = static_cast<double>(rows) / plain;

  constexpr int64_t kMostLookedAt = 1024;
  const std::vector<Draft> drafts = by_worth(candidates, std::min(budget, kMostLookedAt));
  std::vector<double> seconds(drafts.size() + 1);
  for (size_t n = 1; n < seconds.size(); ++n) seconds[n] = step_seconds(rows + static_cast<int64_t>(n));
  int64_t model_rows = 0;
  int32_t most_passes = 0;
  for (const DraftCandidate& candidate : candidates) {
    model_rows += candidate.by_model;
    if (candidate.by_model) most_passes = std::max(most_passes, candidate.most);
  }

  const double pass = pass_seconds(model_rows), catch_up = catch_up_seconds(candidates);
  double best = even_at_a_loss ? 0 : plain_rate;
  int32_t best_passes = 0;
  size_t best_drafts = 0;  // how many of the list are looked at
  for (int32_t passes = 0; passes <= most_passes; ++passes) {
    const double before = gap_.seconds(1) + (passes > 0 ? passes * pass + catch_up : 0);
    double tokens = static_cast<double>(rows);
    size_t taken = 0;
    for (size_t i = 0; i < drafts.size(); ++i) {
      if (candidates[drafts[i].candidate].by_model && drafts[i].position >= passes) continue;
      tokens += drafts[i].worth;
      const double rate = tokens / (seconds[++taken] + before);
      if (rate > best) best = rate, best_passes = passes, best_drafts = i + 1;
    }
  }
  for (size_t i = 0; i < best_drafts; ++i) {
    if (candidates[drafts[i].candidate].by_model && drafts[i].position >= best_passes) continue;
    ++choice.drafts[drafts[i].candidate];
    ++choice.total;
  }
  if (choice.total > 0) choice.gain = best / plain_rate;
  return choice;
}

bool DraftController::could_gain(int64_t rows, int64_t budget, bool by_model) const {
  const double plain = step_seconds(rows);
  if (plain == 0) return false;
  for (int64_t each = 1; each <= kMaxDrafts && rows * each <= budget; each *= 2) {
    const double drafting = by_model ? static_cast<double>(each) * pass_seconds(rows) : 0;
    if (static_cast<double>(1 + each) * plain > step_seconds(rows * (1 + each)) + gap_.seconds(1) + drafting)
      return true;
  }
  return false;
}

}  // namespace penstock
