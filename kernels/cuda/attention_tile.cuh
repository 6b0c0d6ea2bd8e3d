// A warp's part of attention: 16 kTiles queries against tiles of keys and values in shared memory, with the softmax of
// Milakov and Gimelshein (2018): sums are relative to the largest score so far and are rescaled when it grows.
#pragma once
#include "kernels/cuda/attention_work.cuh"
#include "kernels/cuda/mma.cuh"
#include "kernels/cuda/vector.cuh"

namespace penstock::cuda {

constexpr float kHidden = -__builtin_inff();

// 1 - 2 / (1 + e^2x); its error is of the order of f32's, absolutely.
__device__ inline float tanh_of(float x) { return 1.0f - 2.0f / (1.0f + exp2_approximate(x * 2.885390082f)); }

__device__ inline float quad_max(float x) {
  x = fmaxf(x, __shfl_xor_sync(0xFFFFFFFF, x, 1));
  return fmaxf(x, __shfl_xor_sync(0xFFFFFFFF, x, 2));
}
__device__ inline float quad_sum(float x) {
  x += __shfl_xor_sync(0xFFFFFFFF, x, 1);
  return x + __shfl_xor_sync(0xFFFFFFFF, x, 2);
}

// Brings kRows rows of keys or values, of positions [position, position + kRows) in one block, into rows of a tile; a
// warp's work. Rows from `end` on become zeros: what the cache holds there may be NaN, and 0 x NaN would reach a sum.
template <int kDim, int kRows>
__device__ inline void copy_rows(uint32_t to, const __nv_bfloat16* from, int position, int end, int head_dim) {
  constexpr int kPieces = kDim / 8, kSteps = kRows * kPieces / kWarp;
  static_assert(kRows * kPieces % kWarp == 0);
#pragma unroll
  for (int i = 0; i < kSteps; i++) {
    const int index = i * kWarp + threadIdx.x % kWarp, row = index / kPieces, piece = index % kPieces;
    const bool wanted = position + row < end && piece * 8 < head_dim;
    copy_async16(to + SwizzledRows<kDim>::offset(row, piece), wanted ? from + row * head_dim + piece * 8 : from,
                 wanted);
  }
}

// Where in k and v the rows of a block begin, for positions in [position, the block's end).
__device__ inline int64_t cache_row(const AttentionStep& step, int32_t block, int kv_head, int position) {
  const int64_t head = static_cast<int64_t>(block) * step.kv_heads + kv_head;
  return (head << step.block_shift) + (position & ((1 << step.block_shift) - 1));
}
// The block that holds a position, or some block when nothing is wanted there: tables end with the context.
__device__ inline int32_t block_of(const AttentionStep& step, int table, int position, int end) {
  return position < end ? step.block_tables[table + (position >> step.block_shift)] : 0;
}

template <int kDim, int kTiles>
struct AttendingWarp {
  float sums[kTiles][kDim / 8][4];
  float largest[kTiles][2];  // raw scores; rows g and g + 8 of a tile
  float total[kTiles][2];    // this lane's share
  int32_t last[kTiles][2];   // the query's position: the last key it sees; -1: none

  __device__ void clear() {
#pragma unroll
    for (int t = 0; t < kTiles; t++) {
#pragma unroll
      for (auto& quad : sums[t]) quad[0] = quad[1] = quad[2] = quad[3] = 0;
      largest[t][0] = largest[t][1] = kHidden;
      total[t][0] = total[t][1] = 0;
    }
  }

  // Queries first_row, first_row + 1, … of the item are this warp's rows.
  __device__ void load_positions(const AttentionStep& step, const WorkItem& item, int first_row) {
#pragma unroll
    for (int t = 0; t < kTiles; t++)
#pragma unroll
      for (int r = 0; r < 2; r++) {
        const int query = item.first_query + first_row + t * 16 + r * 8 + threadIdx.x % kWarp / 4;
        last[t][r] = query < item.queries ? step.positions[item.first_token + query / step.group] : -1;
      }
  }
  __device__ int last_of_warp() const {
    int most = -1;
#pragma unroll
    for (int t = 0; t < kTiles; t++) most = max(most, max(last[t][0], last[t][1]));
    return __reduce_max_sync(0xFFFFFFFF, most);
  }
  __device__ int first_of_warp() const {  // queries without a position included
    int least = INT32_MAX;
#pragma unroll
    for (int t = 0; t < kTiles; t++) least = min(least, min(last[t][0], last[t][1]));
    return __reduce_min_sync(0xFFFFFFFF, least);
  }

  // One tile of kKeys keys, the first of them at position `position`. `all_visible`: no query lacks one of them.
  template <int kKeys>
  __device__ void attend(const AttentionStep& step, uint32_t queries, uint32_t keys, uint32_t values, int position,
                         bool all_visible) {
    float scores[kTiles][kKeys / 8][4] = {};
    multiply_keys<kKeys>(scores, queries, keys);
    if (step.cap_out > 0) cap<kKeys>(scores, step);
    if (!all_visible) hide<kKeys>(scores, step.window, position);
    soften<kKeys>(scores, step.score_factor);
    add_values<kKeys>(scores, values);
  }

 private:
  template <int kKeys>
  __device__ void multiply_keys(float (&scores)[kTiles][kKeys / 8][4], uint32_t queries, uint32_t keys) {
    const int lane = threadIdx.x % kWarp;
    const auto in_queries = LaneInTile<kDim>::rows_first(lane), in_keys = LaneInTile<kDim>::columns_first(lane);
#pragma unroll
    for (int d = 0; d < kDim / 16; d++) {
      uint32_t a[kTiles][4];
#pragma unroll
      for (int t = 0; t < kTiles; t++) load_matrices(a[t], queries + in_queries.at(t * 16, d));
#pragma unroll
      for (int n = 0; n < kKeys / 16; n++) {
        uint32_t b[4];
        load_matrices(b, keys + in_keys.at(n * 16, d));
#pragma unroll
        for (int t = 0; t < kTiles; t++) {
          multiply_add(scores[t][2 * n], a[t], b[0], b[1]);
          multiply_add(scores[t][2 * n + 1], a[t], b[2], b[3]);
        }
      }
    }
  }

  template <int kKeys>
  __device__ void cap(float (&scores)[kTiles][kKeys / 8][4], const AttentionStep& step) {
#pragma unroll
    for (auto& tile : scores)
#pragma unroll
      for (auto& quad : tile)
#pragma unroll
        for (float& score : quad) score = step.cap_out * tanh_of(score * step.cap_in);
  }

  template <int kKeys>
  __device__ void hide(float (&scores)[kTiles][kKeys / 8][4], uint32_t window, int position) {
    const int first_key = position + threadIdx.x % 4 * 2;
#pragma unroll
    for (int t = 0; t < kTiles; t++)
#pragma unroll
      for (int n = 0; n < kKeys / 8; n++)
#pragma unroll
        for (int i = 0; i < 4; i++) {  // the difference wraps around for keys behind the query
          const auto back = static_cast<uint32_t>(last[t][i / 2] - (first_key + n * 8 + i % 2));
          if (back >= window) scores[t][n][i] = kHidden;
        }
  }

  // Scores become weights; sums and totals are brought to the new largest score.
  template <int kKeys>
  __device__ void soften(float (&scores)[kTiles][kKeys / 8][4], float factor) {
    float rescale[kTiles][2];
    bool grown = false;
#pragma unroll
    for (int t = 0; t < kTiles; t++)
#pragma unroll
      for (int r = 0; r < 2; r++) {
        float most = kHidden;
#pragma unroll
        for (auto& quad : scores[t]) most = fmaxf(most, fmaxf(quad[2 * r], quad[2 * r + 1]));
        most = fmaxf(largest[t][r], quad_max(most));
        const float base = most == kHidden ? 0 : most * factor;  // -inf less -inf would be NaN
        rescale[t][r] = exp2_approximate(largest[t][r] * factor - base);
        grown |= most != largest[t][r];
        largest[t][r] = most;
        float weights = 0;
#pragma unroll
        for (auto& quad : scores[t])
#pragma unroll
          for (int i = 2 * r; i < 2 * r + 2; i++) {
            quad[i] = exp2_approximate(fmaf(quad[i], factor, -base));
            weights += quad[i];
          }
        total[t][r] = total[t][r] * rescale[t][r] + weights;
      }
    if (!__any_sync(0xFFFFFFFF, grown)) return;
#pragma unroll
    for (int t = 0; t < kTiles; t++)
#pragma unroll
      for (auto& quad : sums[t])
#pragma unroll
        for (int i = 0; i < 4; i++) quad[i] *= rescale[t][i / 2];
  }

  template <int kKeys>
  __device__ void add_values(const float (&weights)[kTiles][kKeys / 8][4], uint32_t values) {
    const auto in_values = LaneInTile<kDim>::rows_first(threadIdx.x % kWarp);
#pragma unroll
    for (int n = 0; n < kKeys / 16; n++) {
      uint32_t a[kTiles][4];
#pragma unroll
      for (int t = 0; t < kTiles; t++)
#pragma unroll
        for (int i = 0; i < 4; i++)
          a[t][i] = pack_bf16(weights[t][2 * n + i / 2][i % 2 * 2], weights[t][2 * n + i / 2][i % 2 * 2 + 1]);
#pragma unroll
      for (int d = 0; d < kDim / 16; d++) {
        uint32_t b[4];
        load_matrices_transposed(b, values + in_values.at(n * 16, d));
#pragma unroll
        for (int t = 0; t < kTiles; t++) {
          multiply_add(sums[t][2 * d], a[t], b[0], b[1]);
          multiply_add(sums[t][2 * d + 1], a[t], b[2], b[3]);
        }
      }
    }
  }
};

}  // namespace penstock::cuda
