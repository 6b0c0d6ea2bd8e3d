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

void edit_row(float* edited, const float* logits, int64_t vocab, const HeadRow& want, const SlotState& slots,
              const int32_t* drafts) {
  std::memcpy(edited, logits, vocab * sizeof(float));
  const uint16_t* counts = slots.counts + want.slot * slots.vocab;
  const auto times = [&](int64_t id) { return counts[id] & SlotState::kMostDrawn; };
  auto penalize = [&](int64_t begin, int64_t end) {
    for (int64_t id = begin; id < end; id++)
      if (counts[id] != 0) edited[id] = penalized(logits[id], times(id), want);
  };
  // Nearly all counts are zero: look at several at once.
  constexpr int64_t kTogether = sizeof(uint64_t) / sizeof(uint16_t);
  int64_t id = 0;
  for (; id + kTogether <= vocab; id += kTogether) {
    uint64_t some;
    std::memcpy(&some, counts + id, sizeof some);
    if (some != 0) penalize(id, id + kTogether);
  }
  penalize(id, vocab);
  const std::span drawn(drafts, want.drafted);
  for (int32_t draft : drawn) {
    if (draft < 0 || draft >= vocab) continue;
    const auto again = static_cast<int>(std::ranges::count(drawn, draft));
    edited[draft] = penalized(logits[draft], std::min<int>(times(draft) + again, SlotState::kMostDrawn), want);
  }
  const LogitEdit* edits = slots.edits + int64_t{want.slot} * kMaxLogitEdits;
  for (int32_t i = 0; i < slots.num_edits[want.slot]; i++)
    if (want.position < edits[i].until && edits[i].id < vocab) edited[edits[i].id] += edits[i].bias;
}

}  // namespace penstock::cpu
