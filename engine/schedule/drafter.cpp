#include "engine/schedule/drafter.h"

#include <algorithm>

namespace penstock {

std::vector<int32_t> NgramDrafter::propose(std::span<const int32_t> text, NgramIndex& own, int32_t most) const {
  own.extend(text);
  const NgramIndex::Match here = own.find(text, text), there = index_.find(outputs_, text);
  std::vector<int32_t> ids;
  if (there.length > here.length) {
    for (auto at = static_cast<size_t>(there.end); at < outputs_.size() && outputs_[at] != kEnd; ++at) {
      if (static_cast<int32_t>(ids.size()) == most) break;
      ids.push_back(outputs_[at]);
    }
  } else if (here.length > 0) {
    // Beyond the text's end it goes on with what was just proposed: a period repeats.
    const auto size = static_cast<int32_t>(text.size());
    for (int32_t at = here.end; static_cast<int32_t>(ids.size()) < most; ++at)
      ids.push_back(at < size ? text[at] : ids[at - size]);
  }
  return ids;
}

void NgramDrafter::learn(std::span<const int32_t> output) {
  if (output.size() < NgramIndex::kShortest || output.size() > kCapacity / 2) return;
  if (outputs_.size() + output.size() > kCapacity) {
    const auto keep = std::find(outputs_.begin() + kCapacity / 2, outputs_.end(), kEnd);
    outputs_.erase(outputs_.begin(), keep);
    index_.clear();
  }
  outputs_.insert(outputs_.end(), output.begin(), output.end());
  outputs_.push_back(kEnd);
  index_.extend(outputs_);
}

}  // namespace penstock
