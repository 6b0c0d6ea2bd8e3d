// Spelling <-> id of one "vocab" object. Ids may have gaps. Immutable.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/text/json_node.h"

namespace penstock::text {

// A hash table from spellings to ids. The spellings' bytes belong to the caller and must stay where they are.
class SpellingTable {
 public:
  void reserve(size_t count);                          // before the first insert; no more than `count` inserts
  bool insert(std::string_view spelling, int32_t id);  // false: it is there already
  std::optional<int32_t> find(std::string_view spelling) const;

 private:
  struct Slot {
    const char* data = nullptr;  // null: free
    uint32_t bytes = 0;
    int32_t id = 0;
  };
  size_t slot_of(std::string_view spelling) const;

  std::vector<Slot> slots_;  // a power of two, at most half full
};

class Vocabulary {
 public:
  explicit Vocabulary(const Node& object);

  struct Entry {
    int32_t id;
    std::string_view spelling;
  };
  const std::vector<Entry>& by_id() const { return by_id_; }  // ascending
  std::optional<int32_t> id(std::string_view spelling) const { return table_.find(spelling); }
  std::optional<std::string_view> spelling(int32_t id) const;

 private:
  std::string bytes_;
  std::vector<Entry> by_id_;
  SpellingTable table_;
};

}  // namespace penstock::text
