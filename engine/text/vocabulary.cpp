#include "engine/text/vocabulary.h"

#include <xxhash.h>

#include <algorithm>
#include <bit>

namespace penstock::text {

void SpellingTable::reserve(size_t count) { slots_.resize(std::bit_ceil(2 * count + 1)); }

size_t SpellingTable::slot_of(std::string_view spelling) const {
  size_t mask = slots_.size() - 1, at = XXH3_64bits(spelling.data(), spelling.size()) & mask;
  while (slots_[at].data && std::string_view(slots_[at].data, slots_[at].bytes) != spelling) at = (at + 1) & mask;
  return at;
}

bool SpellingTable::insert(std::string_view spelling, int32_t id) {
  Slot& slot = slots_[slot_of(spelling)];
  if (slot.data) return false;
  slot = {spelling.data(), static_cast<uint32_t>(spelling.size()), id};
  return true;
}

std::optional<int32_t> SpellingTable::find(std::string_view spelling) const {
  if (slots_.empty()) return std::nullopt;
  const Slot& slot = slots_[slot_of(spelling)];
  if (!slot.data) return std::nullopt;
  return slot.id;
}

Vocabulary::Vocabulary(const Node& object) {
  if (!object.json().is_object()) object.fail("must be an object");
  size_t total = 0;
  for (const auto& [spelling, id] : object.json().items()) total += spelling.size();
  bytes_.reserve(total + 1);  // + 1: an empty spelling needs an address too
  by_id_.reserve(object.json().size());
  table_.reserve(object.json().size());
  for (const auto& [spelling, id] : object.json().items()) {
    if (!id.is_number_unsigned() || id.get<uint64_t>() > INT32_MAX)
      object.fail("gives " + quote(spelling) + " an id that is not an integer from 0 to 2147483647");
    size_t begin = bytes_.size();
    bytes_ += spelling;
    Entry entry{id.get<int32_t>(), {bytes_.data() + begin, spelling.size()}};
    by_id_.push_back(entry);
    table_.insert(entry.spelling, entry.id);
  }
  std::sort(by_id_.begin(), by_id_.end(), [](const Entry& a, const Entry& b) { return a.id < b.id; });
  auto twice =
      std::adjacent_find(by_id_.begin(), by_id_.end(), [](const Entry& a, const Entry& b) { return a.id == b.id; });
  if (twice != by_id_.end())
    object.fail("gives the id " + std::to_string(twice->id) + " to both " + quote(twice->spelling) + " and " +
                quote(twice[1].spelling));
}

std::optional<std::string_view> Vocabulary::spelling(int32_t id) const {
  // Most vocabularies have no gaps.
  auto index = static_cast<size_t>(id);
  if (index < by_id_.size() && by_id_[index].id == id) return by_id_[index].spelling;
  auto found = std::lower_bound(by_id_.begin(), by_id_.end(), id, [](const Entry& e, int32_t i) { return e.id < i; });
  if (found == by_id_.end() || found->id != id) return std::nullopt;
  return found->spelling;
}

}  // namespace penstock::text
