#include "engine/schedule/ngram_index.h"

#include <algorithm>

namespace penstock {

void NgramIndex::extend(std::span<const int32_t> text) {
  const auto size = static_cast<int32_t>(text.size());
  int32_t end = this->size();
  previous_.resize(size, 0);
  if (text.size() * 2 > latest_.size()) {
    size_t buckets = 64;
    while (buckets < text.size() * 4) buckets *= 2;
    latest_.assign(buckets, 0);
    end = 0;
  }
  while (++end <= size)
    if (end >= kShortest) link(text, end);
}

NgramIndex::Match NgramIndex::find(std::span<const int32_t> text, std::span<const int32_t> context) const {
  constexpr int32_t kPlaces = 16, kLongest = 64;
  Match best;
  if (context.size() < kShortest || latest_.empty()) return best;
  const auto longest = std::min(kLongest, static_cast<int32_t>(context.size()));
  int32_t end = latest_[bucket(&context[context.size() - kShortest])];
  for (int32_t place = 0; end > 0 && place < kPlaces; ++place, end = previous_[end - 1]) {
    if (end >= static_cast<int32_t>(text.size())) continue;  // the context itself: nothing follows
    const auto most = std::min(longest, end);
    int32_t length = 0;
    while (length < most && text[end - 1 - length] == context[context.size() - 1 - length]) ++length;
    if (length > best.length) best = {end, length};
  }
  return best.length >= kShortest ? best : Match{};
}

size_t NgramIndex::bucket(const int32_t* ngram) const {
  uint64_t hash = 0;
  for (int32_t i = 0; i < kShortest; ++i) hash = (hash ^ static_cast<uint32_t>(ngram[i])) * 0x9E3779B97F4A7C15u;
  return (hash >> 32) & (latest_.size() - 1);
}

void NgramIndex::link(std::span<const int32_t> text, int32_t end) {
  int32_t& latest = latest_[bucket(&text[end - kShortest])];
  previous_[end - 1] = latest;
  latest = end;
}

}  // namespace penstock
