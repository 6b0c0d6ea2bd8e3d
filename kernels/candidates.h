// Sampling without gathering the vocabulary: what parts of it say about a row, and what ranks make of that. The same
// code on every device; every rank combines the same numbers in the same order, so all agree.
//
// A part names its largest key, a logit plus Gumbel noise, and the largest of these is the row's token. A filter keeps
// the likeliest ids, and the largest key of those is the same one if it keeps that: parts tally what comes before the
// token. If it is not kept, as happens to a row by the mass that the filter takes away, the row is sampled whole.
#pragma once
#include "kernels/random.h"
#include "kernels/step_view.h"

namespace penstock {

constexpr int kCandidateParts = 8;  // of a rank's ids, for each row

// What one part of the ids says. A row is drawn by its logits, or by what its edits make of them.
struct alignas(16) Candidate {
  static constexpr float kNowhere = -__builtin_inff();
  double key = static_cast<double>(kNowhere);  // the largest edited logit / temperature + Gumbel noise; of a greedy row
                                               // the largest edited logit
  int32_t key_id = -1;           // the lowest id with that key; of a row to be scored, the target, if it is here
  float key_logit = kNowhere;    // that id's logit
  float key_edited = kNowhere;   // and what the edits make of it: the same, without any
  float peak = kNowhere;         // the largest logit
  int32_t peak_id = -1;          // the lowest id with that
  float total = 0;               // sum of exp(logit - peak)
  float edited_peak = kNowhere;  // the largest edited logit
  int32_t edited_peak_id = -1;   // the lowest id with that
  int32_t bad = 0;               // 1: a logit is NaN or infinite upward, before or after the edits
};
static_assert(sizeof(Candidate) == 48);

// The ids of one part beside the token that candidates chose. Before it come those that top-k and top-p keep rather:
// the likelier ones, and of equal ones those of lower ids. The token and what comes behind it are told apart by how far
// their scaled logits are below the token's, but only where both filters ask: else all are in the first step.
struct Tally {
  static constexpr int kSteps = 15;  // the last one holds all the rest
  static constexpr float kStepWidth = 0.5f;
  struct Ids {
    int32_t count = 0;
    float mass = 0;  // sum of exp(scaled logit); 0 where top-p does not ask
    PENSTOCK_HOST_DEVICE Ids& operator+=(const Ids& other) {
      count += other.count, mass += other.mass;
      return *this;
    }
  };
  Ids before, step[kSteps];

  PENSTOCK_HOST_DEVICE static int step_of(float below) {
    const float steps = below * (1 / kStepWidth);
    return steps < kSteps - 1 ? static_cast<int>(steps) : kSteps - 1;
  }
};
static_assert(sizeof(Tally) == 128);

PENSTOCK_HOST_DEVICE inline bool takes_likeliest(const HeadRow& want) {
  return !(want.temperature > 0 && want.top_p > 0 && want.top_k != 1);
}

// Alternatives look at more of the row than candidates do.
PENSTOCK_HOST_DEVICE inline bool needs_whole_row(const HeadRow& want) { return want.top_logprobs > 0; }

PENSTOCK_HOST_DEVICE inline bool is_padding(const HeadRow& want) { return want.slot < 0 && want.target < 0; }

// Of two values, the larger; of equal ones, that of the lower id. -1 is the highest.
PENSTOCK_HOST_DEVICE inline bool is_before(double a, int32_t a_id, double b, int32_t b_id) {
  return a > b || (a == b && static_cast<uint32_t>(a_id) < static_cast<uint32_t>(b_id));
}

// How filters read logits: as (logit - peak) / temperature, so that none is above 0.
struct RowScale {
  float peak, inverse;
  PENSTOCK_HOST_DEVICE static RowScale of(float peak, float temperature) {
    return {peak, 1.0f / (temperature > 1e-30f ? temperature : 1e-30f)};
  }
  PENSTOCK_HOST_DEVICE float operator()(float logit) const { return (logit - peak) * inverse; }
};

// What all candidates say about a row.
struct RowChoice {
  HeadResult result;          // when the filters keep the token
  float edited = 0;           // the token's edited logit
  float edited_peak = 0;      // the largest one
  bool is_likeliest = false;  // the token is the lowest id with that
};

// From the candidates of all parts of all ranks, in their order.
PENSTOCK_HOST_DEVICE inline RowChoice choose(const Candidate* all, int64_t count, const HeadRow& want) {
  Candidate best;
  for (int64_t i = 0; i < count; i++) {
    const Candidate& one = all[i];
    best.bad |= one.bad;
    if (is_before(one.peak, one.peak_id, best.peak, best.peak_id)) best.peak = one.peak, best.peak_id = one.peak_id;
    if (is_before(one.edited_peak, one.edited_peak_id, best.edited_peak, best.edited_peak_id))
      best.edited_peak = one.edited_peak, best.edited_peak_id = one.edited_peak_id;
    if (is_before(one.key, one.key_id, best.key, best.key_id)) {
      best.key = one.key, best.key_id = one.key_id;
      best.key_logit = one.key_logit, best.key_edited = one.key_edited;
    }
  }
  RowChoice choice;
  choice.result = {.token = -1, .logprob = 0, .flags = HeadResult::kNonFinite};
  if (best.bad != 0 || best.peak_id < 0) return choice;
  if (want.target < 0 && best.edited_peak_id < 0) {
    choice.result.flags = HeadResult::kAllBanned;
    return choice;
  }
  double total = 0;
  for (int64_t i = 0; i < count; i++)
    if (all[i].peak_id >= 0)
      total +=
          static_cast<double>(all[i].total) * ::exp(static_cast<double>(all[i].peak) - static_cast<double>(best.peak));
  choice.result.token = want.target >= 0 ? want.target : best.key_id;
  choice.result.flags = want.target >= 0 && want.target == best.peak_id ? HeadResult::kArgmax : 0;
  choice.result.logprob =
      static_cast<float>(static_cast<double>(best.key_logit) - static_cast<double>(best.peak) - ::log(total));
  choice.edited = best.key_edited;
  choice.edited_peak = best.edited_peak;
  choice.is_likeliest = best.key_id == best.edited_peak_id;
  return choice;
}

// What a row with a choice still needs.
enum class RowNeed {
  nothing,
  tally,      // of what comes before the token
  whole_row,  // the token may not be kept: the row is sampled whole
};

PENSTOCK_HOST_DEVICE inline bool has_filters(const HeadRow& want) {
  if (want.target >= 0 || takes_likeliest(want)) return false;
  return want.top_k > 0 || want.top_p < 1 || want.min_p > 0;
}

// Above what roundings do to shares of mass and to scaled logits, in the samplers of whole rows too.
constexpr double kFilterMargin = 1e-4;

PENSTOCK_HOST_DEVICE inline RowNeed need_of(const RowChoice& choice, const HeadRow& want) {
  if (choice.result.token < 0 || choice.is_likeliest || !has_filters(want)) return RowNeed::nothing;
  const float scaled = RowScale::of(choice.edited_peak, want.temperature)(choice.edited);
  if (want.min_p > 0 && !(static_cast<double>(scaled) > ::log(static_cast<double>(want.min_p)) + kFilterMargin))
    return RowNeed::whole_row;
  return want.top_k > 0 || want.top_p < 1 ? RowNeed::tally : RowNeed::nothing;
}

inline Tally sum_of(const Tally* all, int64_t count) {
  Tally sum;
  for (int64_t i = 0; i < count; i++) {
    sum.before += all[i].before;
    for (int s = 0; s < Tally::kSteps; s++) sum.step[s] += all[i].step[s];
  }
  return sum;
}

// Whether top-k and top-p surely keep the token, by the tallies of all parts of all ranks added up. Top-p keeps an id
// when those before it have less than its share of what top-k leaves. How much that is, is known from below: of a step
// that top-k leaves in part, it leaves the likelier ids.
PENSTOCK_HOST_DEVICE inline bool surely_keeps(const HeadRow& want, const Tally& all) {
  if (all.before.count == 0) return true;
  const bool limited = want.top_k > 0;
  int64_t room = static_cast<int64_t>(want.top_k) - all.before.count;
  if (limited && room <= 0) return false;
  if (!(want.top_p < 1)) return true;
  const auto before = static_cast<double>(all.before.mass);
  double left = before;
  for (const Tally::Ids& ids : all.step) {
    const auto mass = static_cast<double>(ids.mass);
    if (!limited || room >= ids.count)
      left += mass, room -= ids.count;
    else
      left += mass * static_cast<double>(room) / ids.count, room = 0;
  }
  return before < (static_cast<double>(want.top_p) - kFilterMargin) * left;
}

// What becomes of the token that a row drew; without one it is 0.
PENSTOCK_HOST_DEVICE inline void keep_token(const HeadRow& want, int32_t token, int32_t* last_tokens, int32_t* drafts) {
  if (token < 0) token = 0;
  if (want.draw == DrawKind::next) last_tokens[want.slot] = token;
  if (want.draw == DrawKind::draft) drafts[static_cast<int64_t>(want.slot) * kMaxDrafts + want.drafted] = token;
}

}  // namespace penstock
