// A set of 128-bit hashes with a value each, for facts that are kept about every line of a file.
#pragma once
#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

namespace penstock {

struct Hash128 {
  uint64_t low = 0, high = 0;
  bool operator==(const Hash128&) const = default;
};

// XXH3, 128 bits. Ids that a stranger chooses to collide only harm the job they are in.
Hash128 hash128(std::string_view bytes);

// Open addressing with linear probing. Grows by half, so that it is at least 57 % full once it is large: 24 bytes an
// entry become at most 42, and 32 on average.
template <class Value>
class IdTable {
 public:
  // The value of `key`: an existing one (false), or `value`, which is now in the table (true).
  // Pointers last until the next insert.
  std::pair<Value*, bool> insert(Hash128 key, const Value& value) {
    if ((size_ + 1) * 7 > entries_.size() * 6) grow();
    Entry& entry = place(entries_, never_zero(key));
    const bool is_new = entry.key == Hash128();
    if (is_new) {
      entry = {never_zero(key), value};
      ++size_;
    }
    return {&entry.value, is_new};
  }

  Value* find(Hash128 key) {
    if (entries_.empty()) return nullptr;
    Entry& entry = place(entries_, never_zero(key));
    return entry.key == Hash128() ? nullptr : &entry.value;
  }

  size_t size() const { return size_; }

 private:
  struct Entry {
    Hash128 key;  // zero: free
    Value value;
  };

  static Hash128 never_zero(Hash128 key) { return key == Hash128() ? Hash128{1, 0} : key; }

  static Entry& place(std::vector<Entry>& entries, Hash128 key) {
    const size_t count = entries.size();
    auto at = static_cast<size_t>((static_cast<unsigned __int128>(key.high) * count) >> 64);
    while (entries[at].key != Hash128() && entries[at].key != key) at = at + 1 == count ? 0 : at + 1;
    return entries[at];
  }

  void grow() {
    std::vector<Entry> larger(entries_.size() + entries_.size() / 2 + 64);
    for (const Entry& entry : entries_)
      if (entry.key != Hash128()) place(larger, entry.key) = entry;
    entries_.swap(larger);
  }

  std::vector<Entry> entries_;
  size_t size_ = 0;
};

}  // namespace penstock
