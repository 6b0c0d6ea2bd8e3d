#include "engine/schedule/prefix_cache.h"

#include <xxhash.h>

#include <string>

#include "kernels/error.h"

namespace penstock {

PrefixHash extend_prefix(const PrefixHash& previous, std::span<const int32_t> ids) {
  const XXH128_hash_t own = XXH3_128bits(ids.data(), ids.size_bytes());
  const uint64_t chain[4] = {previous.low, previous.high, own.low64, own.high64};
  const XXH128_hash_t both = XXH3_128bits(chain, sizeof chain);
  return {both.low64, both.high64};
}

PrefixCache::PrefixCache(int32_t num_blocks) : prefixes_(num_blocks), held_(num_blocks, false) {
  blocks_.reserve(num_blocks);
}

int32_t PrefixCache::find(const PrefixHash& prefix) const {
  const auto found = blocks_.find(prefix);
  return found == blocks_.end() ? -1 : found->second;
}

bool PrefixCache::insert(const PrefixHash& prefix, int32_t block) {
  if (const int32_t known = find(prefix); known >= 0) return known == block;
  if (held_[block])
    throw Error(ExitCode::internal, "prefix cache: block " + std::to_string(block) + " would end two prefixes");
  blocks_.emplace(prefix, block);
  prefixes_[block] = prefix;
  held_[block] = true;
  return true;
}

void PrefixCache::forget(int32_t block) {
  if (!held_[block]) return;
  blocks_.erase(prefixes_[block]);
  held_[block] = false;
}

void PrefixCache::check_consistency(const BlockManager& blocks) const {
  int32_t held = 0, unreferenced = 0;
  for (int32_t block = 0; block < blocks.num_blocks(); ++block) {
    if (!held_[block]) continue;
    ++held;
    unreferenced += blocks.references(block) == 0;
    if (find(prefixes_[block]) != block)
      throw Error(ExitCode::internal, "prefix cache: block " + std::to_string(block) + " is not found by its prefix");
  }
  if (held != size()) throw Error(ExitCode::internal, "prefix cache: some prefix leads to a block that left it");
  if (unreferenced != blocks.num_cached())
    throw Error(ExitCode::internal, "prefix cache: " + std::to_string(unreferenced) +
                                        " unreferenced blocks can be found, but " +
                                        std::to_string(blocks.num_cached()) + " are cached");
}

}  // namespace penstock
