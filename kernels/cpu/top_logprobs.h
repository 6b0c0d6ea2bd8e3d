// The few likeliest ids of a row of logits, found by way of its blocks' largest.
#pragma once
#include "kernels/cpu/logits_row.h"
#include "kernels/step_view.h"

namespace penstock::cpu::PENSTOCK_ISA {

// The `capacity` largest of the logits that were offered, in descending order; the one offered first among equals.
class TopList {
 public:
  struct Entry {
    float logit;
    int32_t id;
  };

  explicit TopList(int32_t capacity) : capacity_(capacity) {}

  // What a logit must be above to enter.
  float floor() const { return size_ < capacity_ ? -__builtin_inff() : entries_[size_ - 1].logit; }
  void offer(float logit, int32_t id) {
    if (!(logit > floor())) return;
    int32_t at = size_ < capacity_ ? size_++ : size_ - 1;
    for (; at > 0 && entries_[at - 1].logit < logit; at--) entries_[at] = entries_[at - 1];
    entries_[at] = {logit, id};
  }
  const Entry* begin() const { return entries_; }
  const Entry* end() const { return entries_ + size_; }

 private:
  int32_t capacity_, size_ = 0;
  Entry entries_[kMaxTopLogprobs];
};

// Fills top[0 … kMaxTopLogprobs): `count` ids, or as many as have a probability, then entries without an id. peak,
// block_largest and total are the row's; count is >= 1.
inline void write_top_logprobs(TopLogprob* top, int32_t count, const LogitsRow& row, const Peak& peak, double total,
                               const float* block_largest) {
  TopList blocks(count), ids(count);
  for (int64_t b = 0; b < row.blocks(); b++) blocks.offer(block_largest[b], static_cast<int32_t>(b));
  // `count` logits reach the floor of the blocks; those of other blocks do not.
  float floor = blocks.floor();
  for (int64_t b = 0; b < row.blocks(); b++) {
    if (block_largest[b] < floor || !(block_largest[b] > ids.floor())) continue;
    const float* x = row.block(b);
    for (int i = 0; i < LogitsRow::kBlock; i++) ids.offer(x[i], static_cast<int32_t>(b * LogitsRow::kBlock + i));
  }
  for (const TopList::Entry& entry : ids) *top++ = {entry.id, log_probability(entry.logit, peak.logit, total)};
  for (auto missing = kMaxTopLogprobs - (ids.end() - ids.begin()); missing > 0; missing--) *top++ = {};
}

// For a row whose logits are no numbers.
inline void write_no_top_logprobs(TopLogprob* top) {
  for (int32_t i = 0; i < kMaxTopLogprobs; i++) top[i] = {};
}

}  // namespace penstock::cpu::PENSTOCK_ISA
