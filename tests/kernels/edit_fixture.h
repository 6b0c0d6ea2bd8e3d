// Slots and rows of any kind: every penalty, bias, ban and filter.
#pragma once
#include "tests/kernels/head_fixture.h"

namespace penstock {

struct Slot {
  std::vector<int32_t> prompt, generated;
  std::vector<LogitEdit> edits;
};

inline Slot random_slot(std::mt19937& random, int32_t vocab) {
  Slot slot;
  auto ids = [&](size_t most) {
    std::vector<int32_t> drawn(random() % (most + 1));
    for (int32_t& id : drawn) id = static_cast<int32_t>(random() % vocab);
    return drawn;
  };
  slot.prompt = ids(vocab), slot.generated = ids(vocab / 2 + 1);
  for (int32_t id : ids(std::min(vocab, kMaxLogitEdits)))
    slot.edits.push_back({.id = id,
                          .bias = random() % 3 == 0 ? -kInfinity : static_cast<float>(random() % 1000) / 100 - 5,
                          .until = random() % 2 ? INT32_MAX : static_cast<int32_t>(random() % 20)});
  std::ranges::stable_sort(slot.edits, {}, &LogitEdit::id);
  return slot;
}

inline HeadRow random_row(std::mt19937& random) {
  HeadRow row{.position = static_cast<int32_t>(random() % 20), .seed = random()};
  if (random() % 3) row.temperature = 0.25f * static_cast<float>(1 + random() % 6);
  if (random() % 2) row.top_p = 0.8f;
  if (random() % 2) row.top_k = static_cast<int32_t>(random() % 30);
  if (random() % 2) row.min_p = 0.05f;
  if (random() % 2) row.repetition_penalty = 0.7f + 0.1f * static_cast<float>(random() % 10);
  if (random() % 2) row.frequency_penalty = static_cast<float>(random() % 400) / 100 - 2;
  if (random() % 2) row.presence_penalty = static_cast<float>(random() % 400) / 100 - 2;
  row.edits = 1;
  return row;
}

}  // namespace penstock
