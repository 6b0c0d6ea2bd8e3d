// The merges of a BPE model: which two neighbouring ids join, how early, and into what.
#pragma once
#include <bit>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace penstock::text {

struct Merge {
  uint32_t rank;
  int32_t result;
};

class MergeTable {
 public:
  void reserve(size_t count) {  // before the first insert; no more than `count` inserts
    slots_.resize(std::bit_ceil(2 * count + 1));
    shift_ = 64 - std::countr_zero(slots_.size());
  }
  // A pair that comes twice keeps its last rank, as in the tokenizers library.
  void insert(int32_t left, int32_t right, Merge merge) {
    uint64_t key = key_of(left, right);
    slots_[slot_of(key)] = {key, merge};
  }
  const Merge* find(int32_t left, int32_t right) const {
    const Slot& slot = slots_[slot_of(key_of(left, right))];
    return slot.key == kFree ? nullptr : &slot.merge;
  }

 private:
  static constexpr uint64_t kFree = ~uint64_t{0};  // ids are below 2^31, so no pair has this key
  struct Slot {
    uint64_t key = kFree;
    Merge merge{};
  };
  static uint64_t key_of(int32_t left, int32_t right) {
    return static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32 | static_cast<uint32_t>(right);
  }
  // Fibonacci hashing: the product's high bits.
  size_t slot_of(uint64_t key) const {
    size_t at = shift_ == 64 ? 0 : (key * 0x9E3779B97F4A7C15u) >> shift_;
    while (slots_[at].key != kFree && slots_[at].key != key) at = (at + 1) & (slots_.size() - 1);
    return at;
  }

  std::vector<Slot> slots_;  // a power of two, at most half full
  int shift_ = 64;
};

}  // namespace penstock::text
