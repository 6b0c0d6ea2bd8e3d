#include "kernels/cpu/edited_row.h"

#include <algorithm>
#include <cstring>

namespace penstock::cpu {
namespace {

float penalized(float x, uint16_t count, const HeadRow& want) {
  x = x > 0 ? x / want.repetition_penalty : x * want.repetition_penalty;
  int times = count & ~SlotState::kInPrompt;
  float frequency = want.frequency_penalty * static_cast<float>(times);
  x -= frequency;
  return times > 0 ? x - want.presence_penalty : x;
}

}  // namespace

void edit_row(float* edited, const float* logits, const HeadRow& want, const SlotState& slots) {
  const int64_t vocab = slots.vocab;
  std::memcpy(edited, logits, vocab * sizeof(float));
  const uint16_t* counts = slots.counts + want.slot * vocab;
  auto penalize = [&](int64_t begin, int64_t end) {
    for (int64_t id = begin; id < end; id++)
      if (counts[id] != 0) edited[id] = penalized(edited[id], counts[id], want);
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
  const LogitEdit* edits = slots.edits + int64_t{want.slot} * kMaxLogitEdits;
  for (int32_t i = 0; i < slots.num_edits[want.slot]; i++)
    if (want.position < edits[i].until) edited[edits[i].id] += edits[i].bias;
}

}  // namespace penstock::cpu
