// From the warps' sums to the output, or to a slot.
#pragma once
#include "kernels/cuda/attention_tile.cuh"

namespace penstock::cuda {

template <int kDim>
constexpr int kStagedStride = kDim + 8;  // floats; the padding spreads a fragment's rows over the banks

// Rows of sums in shared memory, kParts times: each part saw other keys.
template <int kDim, int kParts, int kRows>
struct StagedSums {
  float sums[kParts][kRows][kStagedStride<kDim>];
  float2 statistics[kParts][kRows];  // largest score in powers of two, total
};

// Tile `t` of a warp's sums to rows [first_row, first_row + 16) of `part`.
template <int kDim, int kTiles, int kParts, int kRows>
__device__ inline void stage(StagedSums<kDim, kParts, kRows>& staged, int part, int first_row,
                             const AttendingWarp<kDim, kTiles>& warp, int t, float factor) {
  const int lane = threadIdx.x % kWarp;
#pragma unroll
  for (int r = 0; r < 2; r++) {
    const int row = first_row + lane / 4 + r * 8;
#pragma unroll
    for (int n = 0; n < kDim / 8; n++)
      *reinterpret_cast<float2*>(&staged.sums[part][row][n * 8 + lane % 4 * 2]) = {warp.sums[t][n][2 * r],
                                                                                   warp.sums[t][n][2 * r + 1]};
    const float total = quad_sum(warp.total[t][r]);
    if (lane % 4 == 0) staged.statistics[part][row] = {warp.largest[t][r] * factor, total};
  }
}

__device__ inline void add_scaled(float (&sums)[8], float weight, const float4& low, const float4& high) {
  const float x[8] = {low.x, low.y, low.z, low.w, high.x, high.y, high.z, high.w};
#pragma unroll
  for (int i = 0; i < 8; i++) sums[i] = fmaf(weight, x[i], sums[i]);
}

// A query that saw no key has no total: padding, and its output is zero. NaN stays NaN.
__device__ inline void store_output(const AttentionStep& step, const WorkUnit& unit, int query, int kv_head, int piece,
                                    float (&sums)[8], float total) {
  const float scale = total == 0 ? 0 : 1.0f / total;
#pragma unroll
  for (float& x : sums) x *= scale;
  const int64_t token = unit.first_token + query / step.group;
  const int head = kv_head * step.group + query % step.group;
  store8(step.out + token * step.out_stride + static_cast<int64_t>(head) * step.head_dim + piece * 8,
         Bf16x8::from(sums));
}

// Adds the parts up, in their order, and writes rows [0, rows) as queries first_row, … of the item; `thread` of
// `threads` takes its share of the 16-byte pieces.
template <int kDim, int kParts, int kRows>
__device__ inline void write_rows(const AttentionStep& step, const WorkList& work, const WorkItem& item, int kv_head,
                                  const StagedSums<kDim, kParts, kRows>& staged, int staged_row, int first_row,
                                  int rows, int thread, int threads) {
  constexpr int kPieces = kDim / 8;
  const WorkUnit unit{item.first_token, item.first_query, item.queries, item.slot, 1};
  for (int index = thread; index < rows * kPieces; index += threads) {
    const int row = index / kPieces, piece = index % kPieces, query = item.first_query + first_row + row;
    if (query >= item.queries) return;
    float largest = kHidden;
#pragma unroll
    for (int p = 0; p < kParts; p++) largest = fmaxf(largest, staged.statistics[p][staged_row + row].x);
    const float base = largest == kHidden ? 0 : largest;
    float sums[8] = {}, total = 0;
#pragma unroll
    for (int p = 0; p < kParts; p++) {
      const float2 part = staged.statistics[p][staged_row + row];
      const float weight = exp2_approximate(part.x - base);
      total = fmaf(weight, part.y, total);
      const auto* from = reinterpret_cast<const float4*>(&staged.sums[p][staged_row + row][piece * 8]);
      add_scaled(sums, weight, from[0], from[1]);
    }
    if (item.slot < 0) {
      if (piece * 8 < step.head_dim) store_output(step, unit, query, kv_head, piece, sums, total);
      continue;
    }
    const int64_t at =
        (static_cast<int64_t>(item.slot) * step.kv_heads + kv_head) * work.tile_queries + first_row + row;
    auto* to = reinterpret_cast<float4*>(work.sums + at * kDim + piece * 8);
    to[0] = {sums[0], sums[1], sums[2], sums[3]};
    to[1] = {sums[4], sums[5], sums[6], sums[7]};
    if (piece == 0) work.statistics[at] = {largest, total};
  }
}

// The block's next item: the first are dealt out, the others go to whoever asks. All that the block had in shared
// memory may be overwritten then. A launch asks as often as there are items, so that nobody need set the count back.
__device__ inline int next_turn(const AttentionStep& step, const WorkList& work, int count, int& shared_turn) {
  __syncthreads();
  if (threadIdx.x == 0) shared_turn = gridDim.x + atomicAdd(&work.counts->taken, 1) - step.launches * count;
  __syncthreads();
  return shared_turn;
}

// What a unit's items left of 16 bytes of an output row, in the order of the keys. Bound by the latency of the loads:
// so many slots are under way at once.
struct CombinedSums {
  static constexpr int kTogether = 8;
  float sums[8] = {}, total = 0, largest = kHidden;

  // Slots [0, count): their statistics `slot_rows` apart, their sums kDim times that.
  template <int kDim>
  __device__ void add(const float2* statistics, const float* from, int64_t slot_rows, int count) {
    float2 parts[kTogether];
    float4 low[kTogether] = {}, high[kTogether] = {};
#pragma unroll
    for (int i = 0; i < kTogether; i++) {
      parts[i] = {kHidden, 0};
      if (i >= count) continue;
      parts[i] = __ldcg(statistics + i * slot_rows);
      const auto* vectors = reinterpret_cast<const float4*>(from + i * slot_rows * kDim);
      low[i] = __ldcg(vectors), high[i] = __ldcg(vectors + 1);
    }
    const float before = largest;
#pragma unroll
    for (const float2& part : parts) largest = fmaxf(largest, part.x);
    const float base = largest == kHidden ? 0 : largest, rescale = exp2_approximate(before - base);
    total *= rescale;
#pragma unroll
    for (float& x : sums) x *= rescale;
#pragma unroll
    for (int i = 0; i < kTogether; i++) {
      const float weight = exp2_approximate(parts[i].x - base);
      total = fmaf(weight, parts[i].y, total);
      add_scaled(sums, weight, low[i], high[i]);
    }
  }
};

// Adds up what a unit's items left in their slots, 16 bytes of an output row a thread.
template <int kDim, int kThreads>
__device__ inline void combine(const AttentionStep& step, const WorkList& work, const WorkUnit& unit, int kv_head) {
  constexpr int kPieces = kDim / 8;
  const int rows = unit.queries - unit.first_query;
  const int64_t slot_rows = static_cast<int64_t>(step.kv_heads) * work.tile_queries;
  for (int index = threadIdx.x; index < rows * kPieces; index += kThreads) {
    const int row = index / kPieces, piece = index % kPieces;
    if (piece * 8 >= step.head_dim) continue;
    CombinedSums all;
    for (int i = 0; i < unit.slots; i += CombinedSums::kTogether) {
      const int64_t at = (unit.slot + i) * slot_rows + kv_head * work.tile_queries + row;
      all.add<kDim>(work.statistics + at, work.sums + at * kDim + piece * 8, slot_rows, unit.slots - i);
    }
    store_output(step, unit, unit.first_query + row, kv_head, piece, all.sums, all.total);
  }
}

// By the whole block, after it wrote the rows of one of a unit's several items. The last to arrive combines them.
template <int kDim, int kThreads>
__device__ inline void finish_item(const AttentionStep& step, const WorkList& work, int number, const WorkUnit& unit,
                                   int kv_head, int& shared_flag) {
  __threadfence();
  __syncthreads();
  if (threadIdx.x == 0) {
    int32_t& arrived = work.arrived[number * step.kv_heads + kv_head];
    const bool last = atomicAdd(&arrived, 1) == unit.slots - 1;
    if (last) arrived = 0;  // for the next layer
    shared_flag = last;
  }
  __syncthreads();
  if (!shared_flag) return;
  __threadfence();
  combine<kDim, kThreads>(step, work, unit, kv_head);
}

// Zeros for the padding, which begins with token `padding`.
__device__ inline void clear_padding(const AttentionStep& step, int padding) {
  const int pieces = step.kv_heads * step.group * step.head_dim / 8;
  for (int64_t token = padding + blockIdx.x; token < step.tokens; token += gridDim.x)
    for (int piece = threadIdx.x; piece < pieces; piece += blockDim.x)
      *reinterpret_cast<uint4*>(step.out + token * step.out_stride + piece * 8) = {};
}

}  // namespace penstock::cuda
