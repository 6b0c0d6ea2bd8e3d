// Rows with many new tokens. Four warps share tiles of keys and values in two stages: while one is computed with, the
// next is on its way. Bound by the tensor cores; 32 queries a warp, so that a fragment of keys read from shared memory
// serves two multiplications (one would be bound by shared memory).
#pragma once
#include "kernels/cuda/attention_output.cuh"

namespace penstock::cuda {

template <int kDim>
struct PrefillShape {
  static constexpr int kWarps = 4, kThreads = kWarps * kWarp;
  static constexpr int kTiles = kDim <= 128 ? 2 : 1;  // of 16 queries a warp: as many as the registers hold
  static constexpr int kKeys = kDim <= 128 ? 64 : 32;
  static constexpr int kQueries = 16 * kTiles * kWarps;
  static constexpr int kTileBytes = kKeys * SwizzledRows<kDim>::kRowBytes;  // of keys, of values
  static constexpr int kQueryBytes = kQueries * SwizzledRows<kDim>::kRowBytes;
  using Staged = StagedSums<kDim, 1, 16 * kWarps>;
  static constexpr int kCopiedBytes = kQueryBytes + 4 * kTileBytes;
  static constexpr int kSharedBytes = kCopiedBytes > static_cast<int>(sizeof(Staged)) ? kCopiedBytes : sizeof(Staged);
};

// Queries of an item into shared memory; rows that have none become zeros.
template <int kDim, int kThreads>
__device__ inline void copy_queries(uint32_t to, const AttentionStep& step, const WorkItem& item, int kv_head,
                                    int rows) {
  constexpr int kPieces = kDim / 8;
  for (int index = threadIdx.x; index < rows * kPieces; index += kThreads) {
    const int row = index / kPieces, piece = index % kPieces, query = item.first_query + row;
    const bool wanted = query < item.queries && piece * 8 < step.head_dim;
    const int64_t token = item.first_token + query / step.group;
    const int head = kv_head * step.group + query % step.group;
    const __nv_bfloat16* from = step.q + token * step.q_stride + static_cast<int64_t>(head) * step.head_dim + piece * 8;
    copy_async16(to + SwizzledRows<kDim>::offset(row, piece), wanted ? from : step.q, wanted);
  }
}

template <int kDim>
struct PrefillBlock {
  using Shape = PrefillShape<kDim>;
  static constexpr int kOwnRows = Shape::kKeys / Shape::kWarps;  // that a warp copies of a tile: all in one block

  const AttentionStep& step;
  char* shared;
  int& shared_flag;
  WorkItem item;
  int kv_head;

  __device__ uint32_t stage_address(int number) const {
    return shared_address(shared) + Shape::kQueryBytes + number * 2 * Shape::kTileBytes;
  }
  __device__ int32_t own_block(int position) const {
    return block_of(step, item.table, position + own_row(), item.key_end);
  }
  __device__ static int own_row() { return threadIdx.x / kWarp * kOwnRows; }

  __device__ void copy_tile(int number, int position, int32_t block) const {
    const int own = position + own_row();
    const int64_t offset = cache_row(step, block, kv_head, own) * step.head_dim;
    const uint32_t to = stage_address(number) + own_row() * SwizzledRows<kDim>::kRowBytes;
    copy_rows<kDim, kOwnRows>(to, step.k + offset, own, item.key_end, step.head_dim);
    copy_rows<kDim, kOwnRows>(to + Shape::kTileBytes, step.v + offset, own, item.key_end, step.head_dim);
  }

  __device__ void run(const WorkList& work) const {
    constexpr int kKeys = Shape::kKeys, kWarpQueries = 16 * Shape::kTiles;
    const int warp_row = threadIdx.x / kWarp * kWarpQueries;
    const uint32_t queries = shared_address(shared) + warp_row * SwizzledRows<kDim>::kRowBytes;
    int32_t next_block = own_block(item.key_begin);
    copy_queries<kDim, Shape::kThreads>(shared_address(shared), step, item, kv_head, Shape::kQueries);
    copy_tile(0, item.key_begin, next_block);
    commit_copies();
    next_block = own_block(item.key_begin + kKeys);
    AttendingWarp<kDim, Shape::kTiles> warp;
    warp.clear();
    warp.load_positions(step, item, warp_row);
    const int warp_first = warp.first_of_warp(), warp_last = warp.last_of_warp();

    int stage_number = 0;
    for (int position = item.key_begin; position < item.key_end; position += kKeys, stage_number ^= 1) {
      wait_for_copies<0>();
      __syncthreads();  // the tile is there, and nobody reads the other stage any more
      if (position + kKeys < item.key_end) {
        copy_tile(stage_number ^ 1, position + kKeys, next_block);
        commit_copies();
        next_block = own_block(position + 2 * kKeys);
      }
      if (position > warp_last) continue;
      const bool all_visible =
          position + kKeys - 1 <= warp_first && static_cast<uint32_t>(warp_last - position) < step.window;
      const uint32_t keys = stage_address(stage_number);
      warp.template attend<kKeys>(step, queries, keys, keys + Shape::kTileBytes, position, all_visible);
    }
    write(work, warp);
  }

  __device__ void write(const WorkList& work, const AttendingWarp<kDim, Shape::kTiles>& warp) const {
    wait_for_copies<0>();
    __syncthreads();
    auto& staged = *reinterpret_cast<typename Shape::Staged*>(shared);
    const int number = threadIdx.x / kWarp;
#pragma unroll
    for (int t = 0; t < Shape::kTiles; t++) {
      stage(staged, 0, number * 16, warp, t, step.score_factor);
      __syncwarp();
      write_rows(step, work, item, kv_head, staged, number * 16, (number * Shape::kTiles + t) * 16, 16,
                 threadIdx.x % kWarp, kWarp);
      __syncwarp();
    }
    if (item.slot >= 0)
      finish_item<kDim, Shape::kThreads>(step, work, item.unit, work.units[item.unit], kv_head, shared_flag);
  }
};

template <int kDim>
__global__ void __launch_bounds__(PrefillShape<kDim>::kThreads, 2)
    prefill_kernel(const __grid_constant__ AttentionStep step) {
  extern __shared__ __align__(1024) char shared[];
  __shared__ int ticket;
  wait_for_previous_kernel();
  const WorkList& work = step.work[kPrefillWork];
  const int count = work.counts->items * step.kv_heads;
  for (int turn = blockIdx.x; turn < count; turn = next_turn(step, work, count, ticket)) {
    PrefillBlock<kDim>{step, shared, ticket, work.items[turn / step.kv_heads], turn % step.kv_heads}.run(work);
  }
}

}  // namespace penstock::cuda
