// Who uses which KV block. Every block is in exactly one of three states:
//   free     nobody refers to it and it holds nothing worth keeping
//   used     its reference count says how many block tables (or plans in flight) name it
//   cached   nobody refers to it, but the prefix cache can still find its contents; reused in order of last use
// Blocks are numbers in [0, num_blocks): no memory is touched here. One thread.
#pragma once
#include <cstdint>
#include <span>
#include <vector>

namespace penstock {

class BlockManager {
 public:
  explicit BlockManager(int32_t num_blocks);

  int32_t num_blocks() const { return static_cast<int32_t>(references_.size()); }
  int32_t num_free() const { return static_cast<int32_t>(free_.size()); }
  int32_t num_cached() const { return num_cached_; }
  int32_t num_used() const { return num_blocks() - num_free() - num_cached_; }
  int32_t num_available() const { return num_free() + num_cached_; }  // what acquire() can give
  int32_t references(int32_t block) const { return references_[block]; }

  // A block with one reference: a free one, else the cached one that was used least recently. The caller must then
  // make the prefix cache forget what the block held. Error(internal) when none is available.
  int32_t acquire();

  // One more reference to a used or a cached block.
  void retain(int32_t block);

  // One reference less. With the last one the block becomes cached if `keep`, else free.
  void release(int32_t block, bool keep);

  // Every block is in one state, and the lists and counts agree. Throws Error(internal) naming what is broken.
  void check_consistency() const;
  // The same, and reference counts are exactly `expected` ([num_blocks]).
  void check_consistency(std::span<const int32_t> expected) const;

 private:
  void append_cached(int32_t block);
  void unlink_cached(int32_t block);

  enum class State : uint8_t { free, used, cached };
  std::vector<State> state_;
  std::vector<int32_t> references_;
  std::vector<int32_t> free_;  // a stack
  // The cached list, least recently used first, linked through the blocks; num_blocks is its end on both sides.
  std::vector<int32_t> next_, previous_;
  int32_t num_cached_ = 0;
};

}  // namespace penstock
