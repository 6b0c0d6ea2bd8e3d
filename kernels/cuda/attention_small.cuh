// Steps of a few tokens. Their attention is as long as its loads wait for each other, so that no list is read: each
// block finds its items by itself, the first one before the kernel ahead has ended.
#pragma once
#include "kernels/cuda/attention_plan.cuh"

namespace penstock::cuda {

__device__ inline int sum_of_lanes_up_to(int x, int lane) {
#pragma unroll
  for (int lanes = 1; lanes < kWarp; lanes *= 2) {
    const int other = __shfl_up_sync(0xFFFFFFFF, x, lanes);
    if (lane >= lanes) x += other;
  }
  return x;
}

// The items of decode work, tile by tile of the rows' queries, in the rows' order. Lane r of every warp knows row r;
// all lanes call together.
class SmallPlan {
 public:
  __device__ SmallPlan(const AttentionStep& step, const WorkList& work)
      : step_(step), work_(work), lane_(threadIdx.x % kWarp), row_{}, even_(0), items_(0) {
    static_assert(kSmallTokens <= kWarp);  // as many rows at most have any
    if (lane_ < kSmallTokens) row_ = load_row(step, lane_);
    tiles_ = (row_.tokens * step.group + work.tile_queries - 1) / work.tile_queries;
    int key_tiles = 0;
    for (int tile = 0; tile < tiles_; tile++) key_tiles += keys_of(tile).tiles;
    even_ = even_share(work, step.kv_heads, __reduce_add_sync(0xFFFFFFFF, key_tiles));
    for (int tile = 0; tile < tiles_; tile++) items_ += Cut(keys_of(tile).tiles, chunk_of_tile(tile)).count;
    items_ = __reduce_add_sync(0xFFFFFFFF, items_);
  }
  __device__ int items() const { return items_; }

  // Item number `index`, and its unit, should it have several.
  __device__ void find(int index, WorkItem& item, WorkUnit& unit) const {
    constexpr uint32_t kAll = 0xFFFFFFFF;
    int begin = 0, slots = 0, units = 0;  // before this tile of all rows
    for (int tile = 0; __any_sync(kAll, tile < tiles_); tile++) {
      const KeyRange keys = tile < tiles_ ? keys_of(tile) : KeyRange{};
      const Cut cut(max(keys.tiles, 1), chunk_of_tile(tile));
      const int count = tile < tiles_ ? cut.count : 0, in_slots = count > 1 ? count : 0;
      const int end = begin + sum_of_lanes_up_to(count, lane_), slot_end = slots + sum_of_lanes_up_to(in_slots, lane_);
      const uint32_t split = __ballot_sync(kAll, in_slots > 0), found = __ballot_sync(kAll, index < end);
      if (found != 0) {
        const int owner = __ffs(found) - 1, i = index - (end - count), first = tile * work_.tile_queries;
        const int size = min(cut.size, keys.tiles - i * cut.size), slot = slot_end - in_slots;
        const int key_begin = (keys.first_tile + i * cut.size) * kKeyTile;
        auto from_owner = [&](int x) { return __shfl_sync(kAll, x, owner); };
        item = {.first_token = from_owner(row_.first_token),
                .first_query = first,
                .queries = from_owner(end_of(tile)),
                .key_begin = from_owner(key_begin),
                .key_end = from_owner(min(keys.end, key_begin + size * kKeyTile)),
                .table = from_owner(row_.table),
                .slot = from_owner(in_slots > 0 ? slot + i : -1),
                .unit = units + __popc(split & ((1u << owner) - 1))};
        unit = {item.first_token, item.first_query, item.queries, from_owner(slot), from_owner(count)};
        return;
      }
      begin = __shfl_sync(kAll, end, kWarp - 1);
      slots = __shfl_sync(kAll, slot_end, kWarp - 1);
      units += __popc(split);
    }
  }

 private:
  __device__ int end_of(int tile) const { return min((tile + 1) * work_.tile_queries, row_.tokens * step_.group); }
  __device__ int chunk_of_tile(int tile) const {
    return chunk_of(work_, even_, end_of(tile) - tile * work_.tile_queries);
  }
  __device__ KeyRange keys_of(int tile) const {
    return key_range(step_, row_, tile * work_.tile_queries, end_of(tile) - 1);
  }

  const AttentionStep& step_;
  const WorkList& work_;
  const int lane_;
  PlannedRow row_;
  int tiles_, even_, items_;
};

}  // namespace penstock::cuda
