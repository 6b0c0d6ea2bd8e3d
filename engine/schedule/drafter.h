// Who proposes what may follow a sequence. A proposal costs the target model a longer row, never a wrong token.
#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "engine/schedule/ngram_index.h"

namespace penstock {

// Prompt lookup: what followed the same ids before, in the sequence or in the run's finished outputs.
class NgramDrafter {
 public:
  // At most `most` ids that may follow `text`; `own` is the text's index, which is brought up to it.
  std::vector<int32_t> propose(std::span<const int32_t> text, NgramIndex& own, int32_t most) const;

  // An output that others may repeat.
  void learn(std::span<const int32_t> output);

 private:
  // Outputs, each followed by kEnd; the older half goes when it is full.
  static constexpr int32_t kEnd = -1, kCapacity = 1 << 21;
  std::vector<int32_t> outputs_;
  NgramIndex index_;
};

}  // namespace penstock
