// Builds the work lists: one block, a few passes over the rows. Where an item stands in its list is decided by atomics
// and may differ between runs; what it computes, and in which order its unit is added up, does not.
#pragma once
#include "kernels/cuda/attention_work.cuh"
#include "kernels/cuda/vector.cuh"

namespace penstock::cuda {

constexpr int kPlanThreads = 1024;
constexpr int kSmallTokens = kDecodeTokens;  // steps of so many tokens need no lists: attention_small.cuh
constexpr int kSizeClasses = 32;  // of items: long ones are listed first, so that no long one is left at the end

struct PlannedRow {
  int32_t first_token, tokens, first_position, context, table;
};

__device__ inline PlannedRow load_row(const AttentionStep& step, int row) {
  if (row >= step.rows) return {};
  const int begin = step.row_begin[row], tokens = step.row_begin[row + 1] - begin;
  if (tokens <= 0) return {};
  return {begin, tokens, step.positions[begin], step.row_context[row], step.row_table[row]};
}

__device__ inline PlannedRow broadcast(const PlannedRow& row, int lane) {
  constexpr uint32_t kAll = 0xFFFFFFFF;
  return {__shfl_sync(kAll, row.first_token, lane), __shfl_sync(kAll, row.tokens, lane),
          __shfl_sync(kAll, row.first_position, lane), __shfl_sync(kAll, row.context, lane),
          __shfl_sync(kAll, row.table, lane)};
}

// The keys that queries [first, last] of a row see, as tiles; at least one, so that every query gets its output.
struct KeyRange {
  int32_t first_tile, tiles, end;
};
__device__ inline KeyRange key_range(const AttentionStep& step, const PlannedRow& row, int first, int last) {
  const int end = max(0, min(row.context, row.first_position + last / step.group + 1));
  const int64_t begin = static_cast<int64_t>(row.first_position) + first / step.group + 1 - step.window;
  const int first_tile = static_cast<int>(begin > 0 ? begin : 0) / kKeyTile;
  return {first_tile, max(1, (end + kKeyTile - 1) / kKeyTile - first_tile), end};
}

// Calls visit(kind, row, tile, lanes_share) for all units. Lanes take different tiles of a row with many, and share the
// tiles of a row with few. All lanes of a warp call together then.
template <class Visit>
__device__ void for_each_unit(const AttentionStep& step, Visit visit) {
  constexpr int kWarps = kPlanThreads / kWarp;
  const int lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp;
  for (int base = 0; base < step.rows; base += kPlanThreads) {
    const PlannedRow own = load_row(step, base + lane * kWarps + warp);
    for (uint32_t left = __ballot_sync(0xFFFFFFFF, own.tokens > 0); left != 0; left &= left - 1) {
      const PlannedRow row = broadcast(own, __ffs(left) - 1);
      const int kind = row.tokens <= kDecodeTokens ? kDecodeWork : kPrefillWork;
      const int tile_queries = step.work[kind].tile_queries;
      const int tiles = (row.tokens * step.group + tile_queries - 1) / tile_queries;
      const bool share = tiles < 8;
      for (int tile = share ? 0 : lane; tile < tiles; tile += share ? 1 : kWarp) visit(kind, row, tile, share);
    }
  }
}

struct PlanShared {
  unsigned long long key_tiles[kWorkKinds];
  int32_t longest[kWorkKinds], even[kWorkKinds];  // key tiles of a unit; of an item, for all blocks to be busy
  int32_t slots[kWorkKinds], units[kWorkKinds];
  int32_t classes[kWorkKinds][kSizeClasses];
};

// The items of a unit: `count` of `size` key tiles each, the last perhaps shorter.
struct Cut {
  int32_t count, size;
  __device__ Cut(int tiles, int chunk) {
    const int wanted = (tiles + chunk - 1) / chunk;
    size = (tiles + wanted - 1) / wanted;
    count = (tiles + size - 1) / size;
  }
};

// Key tiles of an item. A partial result costs what its queries are: few of them may be cut finer.
__device__ inline int chunk_of(const WorkList& work, int even, int queries) {
  return max(even, 2 * queries <= work.tile_queries ? work.min_short_key_tiles : work.min_key_tiles);
}

__device__ inline int size_class(const AttentionStep& step, const PlanShared& shared, int kind, int key_tiles) {
  const WorkList& work = step.work[kind];
  const int longest = min(shared.longest[kind], chunk_of(work, shared.even[kind], work.tile_queries));
  return static_cast<int>(static_cast<int64_t>(longest - key_tiles) * kSizeClasses / longest);
}

// Key tiles of an item for all blocks to be busy, where all units together have `key_tiles`.
__device__ inline int32_t even_share(const WorkList& work, int kv_heads, long long key_tiles) {
  return static_cast<int32_t>((key_tiles * kv_heads + work.target_items - 1) / work.target_items);
}

__device__ inline void share_evenly(const AttentionStep& step, PlanShared& shared) {
  for (int kind = 0; kind < kWorkKinds; kind++)
    shared.even[kind] = even_share(step.work[kind], step.kv_heads, static_cast<long long>(shared.key_tiles[kind]));
}

// Turns the sizes of the classes into where each begins.
__device__ inline void begin_classes(const AttentionStep& step, PlanShared& shared) {
  for (int kind = 0; kind < kWorkKinds; kind++) {
    int before = 0;
    for (int32_t& entry : shared.classes[kind]) {
      const int count = entry;
      entry = before;
      before += count;
    }
    *step.work[kind].counts = {before, 0};
  }
}

__device__ inline void write_items(const AttentionStep& step, PlanShared& shared, int kind, const PlannedRow& row,
                                   int tile, bool share) {
  const WorkList& work = step.work[kind];
  const int lane = threadIdx.x % kWarp, first = tile * work.tile_queries;
  const int queries = min(first + work.tile_queries, row.tokens * step.group);
  const KeyRange keys = key_range(step, row, first, queries - 1);
  const Cut cut(keys.tiles, chunk_of(work, shared.even[kind], queries - first));
  int slot = -1, unit = -1;
  if (cut.count > 1 && !(share && lane > 0)) {
    slot = atomicAdd(&shared.slots[kind], cut.count);
    unit = atomicAdd(&shared.units[kind], 1);
    work.units[unit] = {row.first_token, first, queries, slot, cut.count};
  }
  if (share) slot = __shfl_sync(0xFFFFFFFF, slot, 0), unit = __shfl_sync(0xFFFFFFFF, unit, 0);
  for (int i = share ? lane : 0; i < cut.count; i += share ? kWarp : 1) {
    const int size = min(cut.size, keys.tiles - i * cut.size), begin = (keys.first_tile + i * cut.size) * kKeyTile;
    const int index = atomicAdd(&shared.classes[kind][size_class(step, shared, kind, size)], 1);
    work.items[index] = {.first_token = row.first_token,
                         .first_query = first,
                         .queries = queries,
                         .key_begin = begin,
                         .key_end = min(keys.end, begin + size * kKeyTile),
                         .table = row.table,
                         .slot = slot < 0 ? -1 : slot + i,
                         .unit = unit};
  }
}

__global__ void __launch_bounds__(kPlanThreads) plan_kernel(const __grid_constant__ AttentionStep step) {
  __shared__ PlanShared shared;
  for (int i = threadIdx.x; i < sizeof(PlanShared) / sizeof(int32_t); i += kPlanThreads)
    reinterpret_cast<int32_t*>(&shared)[i] = 0;
  wait_for_previous_kernel();
  for (const WorkList& work : step.work)
    for (int i = threadIdx.x; i < work.max_units * step.kv_heads; i += kPlanThreads) work.arrived[i] = 0;
  if (step.tokens <= kSmallTokens) {
    if (threadIdx.x == 0) *step.work[kDecodeWork].counts = {};
    return;
  }
  __syncthreads();
  auto queries_of = [&](int kind, const PlannedRow& row, int tile) {
    const int tile_queries = step.work[kind].tile_queries;
    return min(tile_queries, row.tokens * step.group - tile * tile_queries);
  };
  auto key_tiles_of = [&](int kind, const PlannedRow& row, int tile) {
    const int first = tile * step.work[kind].tile_queries;
    return key_range(step, row, first, first + queries_of(kind, row, tile) - 1).tiles;
  };
  for_each_unit(step, [&](int kind, const PlannedRow& row, int tile, bool share) {
    if (share && threadIdx.x % kWarp > 0) return;
    const int tiles = key_tiles_of(kind, row, tile);
    atomicAdd(&shared.key_tiles[kind], static_cast<unsigned long long>(tiles));
    atomicMax(&shared.longest[kind], tiles);
  });
  __syncthreads();
  if (threadIdx.x == 0) share_evenly(step, shared);
  __syncthreads();
  for_each_unit(step, [&](int kind, const PlannedRow& row, int tile, bool share) {
    if (share && threadIdx.x % kWarp > 0) return;
    const int tiles = key_tiles_of(kind, row, tile);
    const Cut cut(tiles, chunk_of(step.work[kind], shared.even[kind], queries_of(kind, row, tile)));
    const int last = tiles - (cut.count - 1) * cut.size;
    if (cut.count > 1) atomicAdd(&shared.classes[kind][size_class(step, shared, kind, cut.size)], cut.count - 1);
    atomicAdd(&shared.classes[kind][size_class(step, shared, kind, last)], 1);
  });
  __syncthreads();
  if (threadIdx.x == 0) begin_classes(step, shared);
  __syncthreads();
  for_each_unit(step, [&](int kind, const PlannedRow& row, int tile, bool share) {
    write_items(step, shared, kind, row, tile, share);
  });
}

}  // namespace penstock::cuda
