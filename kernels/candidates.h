// Sampling without gathering the vocabulary: what parts of it say about a row, and what ranks make of that. The same
// code on every device; every rank combines the same candidates in the same order, so all agree.
#pragma once
#include "kernels/random.h"
#include "kernels/step_view.h"

namespace penstock {

constexpr int kCandidateParts = 8;  // of a rank's ids, for each row

// What one part of the ids says.
struct Candidate {
  static constexpr float kNowhere = -__builtin_inff();
  double key = static_cast<double>(kNowhere);  // the largest logit / temperature + Gumbel noise
  float key_logit = kNowhere;                  // that id's logit; of a row to be scored, the target's, if it is here
  int32_t key_id = -1;                         // the lowest id with that key; the target, if it is here
  float peak = kNowhere;                       // the largest logit
  int32_t peak_id = -1;                        // the lowest id with that
  float total = 0;                             // sum of exp(logit - peak)
  int32_t bad = 0;                             // 1: a logit is NaN or infinite upward
};
static_assert(sizeof(Candidate) == 32);

PENSTOCK_HOST_DEVICE inline bool takes_likeliest(const HeadRow& want) {
  return !(want.temperature > 0 && want.top_p > 0 && want.top_k != 1);
}

// Whether candidates do not suffice: filters, edits and alternatives look at more of the row.
PENSTOCK_HOST_DEVICE inline bool needs_whole_row(const HeadRow& want) {
  if (want.top_logprobs > 0) return true;
  if (want.target >= 0) return false;
  if (want.edits != 0) return true;
  return !takes_likeliest(want) && (want.top_k > 0 || want.top_p < 1 || want.min_p > 0);
}

PENSTOCK_HOST_DEVICE inline bool is_padding(const HeadRow& want) { return want.slot < 0 && want.target < 0; }

// Of two values, the larger; of equal ones, that of the lower id. -1 is the highest.
PENSTOCK_HOST_DEVICE inline bool is_before(double a, int32_t a_id, double b, int32_t b_id) {
  return a > b || (a == b && static_cast<uint32_t>(a_id) < static_cast<uint32_t>(b_id));
}

// From the candidates of all parts of all ranks, in their order.
PENSTOCK_HOST_DEVICE inline HeadResult choose(const Candidate* all, int64_t count, const HeadRow& want) {
  Candidate best;
  for (int64_t i = 0; i < count; i++) {
    const Candidate& one = all[i];
    best.bad |= one.bad;
    if (is_before(one.peak, one.peak_id, best.peak, best.peak_id)) best.peak = one.peak, best.peak_id = one.peak_id;
    if (is_before(one.key, one.key_id, best.key, best.key_id))
      best.key = one.key, best.key_id = one.key_id, best.key_logit = one.key_logit;
  }
  HeadResult result{.token = -1, .logprob = 0, .flags = HeadResult::kNonFinite};
  if (best.bad != 0 || best.peak_id < 0) return result;
  double total = 0;
  for (int64_t i = 0; i < count; i++)
    if (all[i].peak_id >= 0)
      total +=
          static_cast<double>(all[i].total) * ::exp(static_cast<double>(all[i].peak) - static_cast<double>(best.peak));
  float logit = best.key_logit;
  result.token = best.key_id, result.flags = 0;
  if (want.target >= 0) {
    result.token = want.target;
    if (want.target == best.peak_id) result.flags = HeadResult::kArgmax;
  } else if (takes_likeliest(want) || best.key_id < 0) {
    result.token = best.peak_id, logit = best.peak;
  }
  result.logprob = static_cast<float>(static_cast<double>(logit) - static_cast<double>(best.peak) - ::log(total));
  return result;
}

// What becomes of the token that a row drew; without one it is 0.
PENSTOCK_HOST_DEVICE inline void keep_token(const HeadRow& want, int32_t token, int32_t* last_tokens, int32_t* drafts) {
  if (token < 0) token = 0;
  if (want.draw == DrawKind::next) last_tokens[want.slot] = token;
  if (want.draw == DrawKind::draft) drafts[static_cast<int64_t>(want.slot) * kMaxDrafts + want.drafted] = token;
}

}  // namespace penstock
