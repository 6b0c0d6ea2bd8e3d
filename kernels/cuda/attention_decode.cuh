// Rows with few new tokens: bound by the bytes of keys and values. Each warp has its own 16 keys of every tile and its
// own pipeline of copies, so that warps never wait for each other before the end of an item, where their sums are
// added.
#pragma once
#include "kernels/cuda/attention_output.cuh"
#include "kernels/cuda/attention_small.cuh"
#include "kernels/cuda/bulk_copy.cuh"

namespace penstock::cuda {

template <int kDim>
struct DecodeShape {
  static constexpr int kKeys = 16;  // a warp's, of a tile
  static constexpr int kWarps = kDim <= 128 ? 4 : 2, kThreads = kWarps * kWarp;
  static constexpr int kTiles = kDim <= 128 ? 2 : 1;  // of 16 queries, at most
  static constexpr int kQueries = 16 * kTiles;
  static constexpr int kTileBytes = kKeys * SwizzledRows<kDim>::kRowBytes;
  static constexpr int kStages = 96 * 1024 / (kWarps * 2 * kTileBytes);  // two blocks fit in an SM of sm_90
  static constexpr int kQueryBytes = kQueries * SwizzledRows<kDim>::kRowBytes;
  using Staged = StagedSums<kDim, kWarps, kQueries>;
  static constexpr int kCopiedBytes = kQueryBytes + kWarps * kStages * 2 * kTileBytes;
  static constexpr int kSharedBytes = kCopiedBytes > static_cast<int>(sizeof(Staged)) ? kCopiedBytes : sizeof(Staged);
};

template <int kDim>
struct DecodeBlock {
  using Shape = DecodeShape<kDim>;
  static constexpr int kStep = Shape::kWarps * Shape::kKeys;  // positions from one tile of a warp to its next

  const AttentionStep& step;
  char* shared;
  int& shared_flag;
  WorkItem item;
  WorkUnit unit;  // the item's, should it have several
  int kv_head;

  __device__ uint32_t stage_address(int number) const {
    return shared_address(shared) + Shape::kQueryBytes +
           (threadIdx.x / kWarp * Shape::kStages + number) * 2 * Shape::kTileBytes;
  }

  // A committed group in any case: waiting counts groups.
  __device__ void copy_tile(int number, int position, int32_t block) const {
    if (position < item.key_end) {
      const int64_t offset = cache_row(step, block, kv_head, position) * step.head_dim;
      const uint32_t to = stage_address(number);
      copy_rows<kDim, Shape::kKeys>(to, step.k + offset, position, item.key_end, step.head_dim);
      copy_rows<kDim, Shape::kKeys>(to + Shape::kTileBytes, step.v + offset, position, item.key_end, step.head_dim);
    }
    commit_copies();
  }

  template <int kTiles>
  __device__ void run(const WorkList& work) const {
    constexpr int kStages = Shape::kStages;
    const int own = item.key_begin + threadIdx.x / kWarp * Shape::kKeys;
    copy_queries<kDim, Shape::kThreads>(shared_address(shared), step, item, kv_head, 16 * kTiles);
    commit_copies();
#pragma unroll
    for (int i = 0; i < kStages - 1; i++)
      copy_tile(i, own + i * kStep, block_of(step, item.table, own + i * kStep, item.key_end));
    int32_t next_block = block_of(step, item.table, own + (kStages - 1) * kStep, item.key_end);
    AttendingWarp<kDim, kTiles> warp;
    warp.clear();
    warp.load_positions(step, item, 0);
    wait_for_copies<kStages - 1>();
    __syncthreads();  // the queries are there

    int number = 0;
    for (int position = own; position < item.key_end; position += kStep) {
      wait_for_copies<kStages - 2>();
      __syncwarp();  // all lanes' copies are there, and the stage before has been read
      const int ahead = position + (kStages - 1) * kStep;
      copy_tile(number == 0 ? kStages - 1 : number - 1, ahead, next_block);
      next_block = block_of(step, item.table, ahead + kStep, item.key_end);
      const uint32_t keys = stage_address(number);
      warp.template attend<Shape::kKeys>(step, shared_address(shared), keys, keys + Shape::kTileBytes, position, false);
      number = number == kStages - 1 ? 0 : number + 1;
    }
    write(work, warp);
  }

  template <int kTiles>
  __device__ void write(const WorkList& work, const AttendingWarp<kDim, kTiles>& warp) const {
    wait_for_copies<0>();
    __syncthreads();
    auto& staged = *reinterpret_cast<typename Shape::Staged*>(shared);
#pragma unroll
    for (int t = 0; t < kTiles; t++) stage(staged, threadIdx.x / kWarp, t * 16, warp, t, step.score_factor);
    __syncthreads();
    write_rows(step, work, item, kv_head, staged, 0, 0, 16 * kTiles, threadIdx.x, Shape::kThreads);
    if (item.slot >= 0) finish_item<kDim, Shape::kThreads>(step, work, item.unit, unit, kv_head, shared_flag);
  }

  // Into L2, the keys and values that run() asks for first: the new ones among them are still to be written. Lane i
  // takes the warp's tile i.
  __device__ void prefetch() const {
#if __CUDA_ARCH__ >= 900
    const int tile = threadIdx.x % kWarp, position = item.key_begin + threadIdx.x / kWarp * Shape::kKeys + tile * kStep;
    if (tile >= Shape::kStages - 1 || position >= item.key_end) return;
    const int64_t offset =
        cache_row(step, block_of(step, item.table, position, item.key_end), kv_head, position) * step.head_dim;
    prefetch_to_l2(step.k + offset, Shape::kKeys * step.head_dim * 2);
    prefetch_to_l2(step.v + offset, Shape::kKeys * step.head_dim * 2);
#endif
  }
};

template <int kDim>
__device__ void attend(const DecodeBlock<kDim>& block, const WorkList& work) {
  if (block.item.queries - block.item.first_query <= 16)
    block.template run<1>(work);
  else
    block.template run<DecodeShape<kDim>::kTiles>(work);
}

template <int kDim>
__global__ void __launch_bounds__(DecodeShape<kDim>::kThreads, 2)
    decode_kernel(const __grid_constant__ AttentionStep step) {
  extern __shared__ __align__(1024) char shared[];
  __shared__ int ticket;
  wait_for_previous_kernel();
  const WorkList& work = step.work[kDecodeWork];
  const int count = work.counts->items * step.kv_heads;
  clear_padding(step, step.row_begin[step.rows]);
  for (int turn = blockIdx.x; turn < count; turn = next_turn(step, work, count, ticket)) {
    const WorkItem item = work.items[turn / step.kv_heads];
    attend(DecodeBlock<kDim>{step, shared, ticket, item, item.slot < 0 ? WorkUnit{} : work.units[item.unit],
                             turn % step.kv_heads},
           work);
  }
}

// For steps of up to kSmallTokens.
template <int kDim>
__global__ void __launch_bounds__(DecodeShape<kDim>::kThreads, 2)
    small_decode_kernel(const __grid_constant__ AttentionStep step) {
  extern __shared__ __align__(1024) char shared[];
  __shared__ int ticket;
  const WorkList& work = step.work[kDecodeWork];
  const SmallPlan plan(step, work);
  const int count = plan.items() * step.kv_heads, padding = step.row_begin[step.rows];
  DecodeBlock<kDim> block{step, shared, ticket, {}, {}, 0};
  const auto take = [&](int turn) {
    plan.find(turn / step.kv_heads, block.item, block.unit);
    block.kv_head = turn % step.kv_heads;
  };
  int turn = blockIdx.x;
  if (turn < count) {
    take(turn);
    block.prefetch();
  }
  wait_for_previous_kernel();
  clear_padding(step, padding);
  while (turn < count) {
    attend(block, work);
    if (count <= gridDim.x) break;  // in every launch with this plan: none asks
    turn = next_turn(step, work, count, ticket);
    if (turn < count) take(turn);
  }
}

}  // namespace penstock::cuda
