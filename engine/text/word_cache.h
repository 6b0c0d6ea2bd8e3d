// The ids of words seen before: direct-mapped, one cache line a word, 1 MiB in all. Long words are not kept.
#pragma once
#include <xxhash.h>

#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>
#include <vector>

namespace penstock::text {

class WordCache {
 public:
  WordCache() : slots_(kSlots) {}

  // Appends the ids and says true when `word` is known.
  bool find(std::string_view word, std::vector<int32_t>& ids) const {
    if (word.size() > kMaxBytes) return false;
    const Slot& slot = slots_[slot_of(word)];
    if (slot.bytes != word.size() || std::memcmp(slot.word, word.data(), word.size()) != 0) return false;
    ids.insert(ids.end(), slot.ids, slot.ids + slot.count);
    return true;
  }

  void keep(std::string_view word, std::span<const int32_t> ids) {
    if (word.size() > kMaxBytes || ids.size() > kMaxIds) return;
    Slot& slot = slots_[slot_of(word)];
    slot.bytes = static_cast<uint8_t>(word.size());
    slot.count = static_cast<uint8_t>(ids.size());
    std::memcpy(slot.word, word.data(), word.size());
    std::copy(ids.begin(), ids.end(), slot.ids);
  }

 private:
  static constexpr size_t kSlots = 1 << 14, kMaxBytes = 30, kMaxIds = 8;
  struct alignas(64) Slot {
    uint8_t bytes = 0;  // 0: free, since no word is empty
    uint8_t count = 0;
    char word[kMaxBytes];
    int32_t ids[kMaxIds];
  };
  static_assert(sizeof(Slot) == 64);
  static size_t slot_of(std::string_view word) { return XXH3_64bits(word.data(), word.size()) & (kSlots - 1); }

  std::vector<Slot> slots_;
};

}  // namespace penstock::text
