// Finds the block that already holds the K and V of a prefix.
//
// A full block is known by the hash of all ids from the start of the sequence to the block's end (128 bits of XXH3,
// chained block by block), so equal hashes mean equal contents: ids, positions and everything they attend to.
// At 2^64 blocks ever hashed a collision would become likely; a run has fewer than 2^40.
//
// Lives as long as the run. Entries end when their block is reused: BlockManager chooses the least recently used one
// that nobody refers to. Knows nothing of references itself. One thread.
#pragma once
#include <cstdint>
#include <span>
#include <unordered_map>
#include <vector>

#include "engine/schedule/block_manager.h"

namespace penstock {

struct PrefixHash {
  uint64_t low = 0, high = 0;
  bool operator==(const PrefixHash&) const = default;
  auto operator<=>(const PrefixHash&) const = default;
};

// The hash of a prefix that is `ids` longer than the one with hash `previous` ({} for the empty prefix).
PrefixHash extend_prefix(const PrefixHash& previous, std::span<const int32_t> ids);

class PrefixCache {
 public:
  explicit PrefixCache(int32_t num_blocks);

  // The block that ends this prefix, or -1.
  int32_t find(const PrefixHash& prefix) const;

  // From now on `block` is found under this prefix. False, and nothing changes, when another block already is.
  // Error(internal) when the block already ends some other prefix.
  bool insert(const PrefixHash& prefix, int32_t block);

  // The block's contents are about to change, or not to be trusted. Nothing happens if it ends no prefix.
  void forget(int32_t block);

  bool holds(int32_t block) const { return held_[block]; }
  int32_t size() const { return static_cast<int32_t>(blocks_.size()); }

  // Both directions agree, and the cached blocks of `blocks` can all be found, the free ones not.
  // Throws Error(internal).
  void check_consistency(const BlockManager& blocks) const;

 private:
  struct Spread {
    size_t operator()(const PrefixHash& prefix) const { return prefix.low; }
  };
  std::unordered_map<PrefixHash, int32_t, Spread> blocks_;
  std::vector<PrefixHash> prefixes_;  // [num_blocks], valid where held_
  std::vector<bool> held_;
};

}  // namespace penstock
