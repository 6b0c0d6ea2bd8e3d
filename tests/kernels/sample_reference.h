// The rule of step_view.h for one row without edits, by sorting, in double.
#pragma once
#include <algorithm>
#include <numeric>

#include "kernels/random.h"
#include "tests/kernels/head_fixture.h"

namespace penstock {

// What the filters keep. `margin`: how far the closest decision was from going the other way.
struct Kept {
  std::vector<int32_t> ids;
  double margin = 1;
};

inline Kept kept_ids(const std::vector<float>& logits, const HeadRow& want) {
  Kept kept;
  kept.ids.resize(logits.size());
  std::iota(kept.ids.begin(), kept.ids.end(), 0);
  std::ranges::stable_sort(kept.ids, [&](int32_t a, int32_t b) { return logits[a] > logits[b]; });
  if (want.top_k > 0 && want.top_k < static_cast<int32_t>(kept.ids.size())) kept.ids.resize(want.top_k);
  double largest = logits[kept.ids[0]], total = 0, before = 0;
  auto mass = [&](int32_t id) { return std::exp((logits[id] - largest) / want.temperature); };
  for (int32_t id : kept.ids) total += mass(id);
  size_t count = 0;
  while (want.top_p < 1 && count < kept.ids.size() && (count == 0 || before < want.top_p * total)) {
    before += mass(kept.ids[count++]);
    kept.margin = std::min(kept.margin, std::abs(before / total - want.top_p));
  }
  if (want.top_p < 1) kept.ids.resize(count);
  std::erase_if(kept.ids, [&](int32_t id) {
    if (want.min_p > 0) kept.margin = std::min(kept.margin, std::abs(mass(id) / want.min_p - 1));
    return mass(id) < want.min_p;
  });
  return kept;
}

struct Draw {
  int32_t token = -1;
  double gap = 0;     // of the best key to the second
  double margin = 1;  // of the filters
  // In f32 another answer may be right.
  bool is_close(double least_gap = 1e-3) const { return margin < 1e-6 || gap < least_gap; }
};

// Of a row with a temperature. An id at -inf has no probability.
inline Draw reference_draw(const std::vector<float>& logits, const HeadRow& want) {
  const Kept kept = kept_ids(logits, want);
  Draw draw{.margin = kept.margin};
  double best = -1e300, second = -1e300;
  for (int32_t id : kept.ids) {
    const RandomWords words = random_words(want.seed, want.choice, want.position, RandomUse::token, id / 4);
    double key = static_cast<double>(logits[id]) / want.temperature + gumbel(words.word[id % 4]);
    if (key > best)
      second = best, best = key, draw.token = id;
    else
      second = std::max(second, key);
  }
  draw.gap = best - second;
  return draw;
}

}  // namespace penstock
