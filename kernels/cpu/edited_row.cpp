#include "kernels/cpu/edited_row.h"

#include <algorithm>
#include <cstring>
#include <span>

namespace penstock::cpu {
namespace {

float penalized(float x, int times, const HeadRow& want) {
  x = x > 0 ? x / want.repetition_penalty : x * want.repetition_penalty;
  float frequency = want.frequency_penalty * static_cast<float>(times);
  x -= frequency;
  return times > 0 ? x - want.presence_penalty : x;
}

}  // namespace

void edit_row(float* edited, const float* logits, int64_t first, int64_t count, const HeadRow& want,
              const SlotState& slots, const int32_t* drafts) {
  std::memcpy(edited, logits, count * sizeof(float));
  const uint16_t* counts = slots.counts + want.slot * slots.vocab + first;
  const auto times = [&](int64_t at) { return counts[at] & SlotState::kMostDrawn; };
  auto penalize = [&](int64_t begin, int64_t end) {
    for (int64_t at = begin; at < end; at++)
      if (counts[at] != 0) edited[at] = penalized(logits[at], times(at), want);
  };
  // Nearly all counts are zero: look at several at once.
  constexpr int64_t kTogether = sizeof(uint64_t) / sizeof(uint16_t);
  int64_t at = 0;
  for (; at + kTogether <= count; at += kTogether) {
    uint64_t some;
    std::memcpy(&some, counts + at, sizeof some);
    if (some != 0) penalize(at, at + kTogether);
  }
  penalize(at, count);
  const auto is_here = [&](int64_t id) { return id >= first && id < first + count; };
  const std::span drawn(drafts, want.drafted);
  for (int32_t draft : drawn) {
    if (!is_here(draft)) continue;
    const auto again = static_cast<int>(std::ranges::count(drawn, draft));
    edited[draft - first] =
        penalized(logits[draft - first], std::min<int>(times(draft - first) + again, SlotState::kMostDrawn), want);
  }
  const LogitEdit* edits = slots.edits + int64_t{want.slot} * kMaxLogitEdits;
  for (int32_t i = 0; i < slots.num_edits[want.slot]; i++)
    if (want.position < edits[i].until && is_here(edits[i].id)) edited[edits[i].id - first] += edits[i].bias;
}

}  // namespace penstock::cpu
