#include "engine/text/split_behavior.h"

namespace penstock::text {

SplitBehavior read_split_behavior(const Node& node) {
  std::string name = node.string();
  if (name == "Removed") return SplitBehavior::removed;
  if (name == "Isolated") return SplitBehavior::isolated;
  if (name == "MergedWithPrevious") return SplitBehavior::merged_with_previous;
  if (name == "MergedWithNext") return SplitBehavior::merged_with_next;
  if (name == "Contiguous") return SplitBehavior::contiguous;
  node.fail("is the unknown behavior " + quote(name));
}

// Whether the next span extends the pending piece.
bool Splitter::joins(bool delimiter) const {
  switch (behavior_) {
    case SplitBehavior::merged_with_previous:
      return delimiter && !pending_->delimiter;
    case SplitBehavior::merged_with_next:
      return !delimiter && pending_->delimiter;
    case SplitBehavior::contiguous:
      return delimiter == pending_->delimiter;
    default:
      return false;
  }
}

void Splitter::span(size_t begin, size_t end, bool delimiter) {
  if (delimiter && behavior_ == SplitBehavior::removed) return;
  if (pending_ && joins(delimiter)) {
    pending_->end = end;
    pending_->delimiter = delimiter;
    return;
  }
  flush();
  pending_ = {begin, end, delimiter};
}

void Splitter::flush() {
  if (pending_ && pending_->begin < pending_->end)
    sink_({piece_.text.substr(pending_->begin, pending_->end - pending_->begin),
           piece_.starts_text && pending_->begin == 0});
  pending_.reset();
}

}  // namespace penstock::text
