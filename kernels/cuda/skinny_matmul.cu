// A block's one producer warp streams tiles of eight out features, a stage of their k after the other, through a ring
// in shared memory; the other warps share a stage's k and multiply it by x, which lies in shared memory too. The ring
// fills, and L2 beyond it, before the kernel ahead has ended: memory is not idle while a single token's norms and
// attention run, and two blocks of successive kernels fit into one SM.
#include "kernels/cuda/skinny_matmul.h"

#include <algorithm>

#include "kernels/cuda/activation.cuh"
#include "kernels/cuda/bulk_copy.cuh"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/mma.cuh"
#include "kernels/cuda/vector.cuh"

namespace penstock::cuda {
namespace {

constexpr int kWarps = 8, kConsumers = kWarps * kWarp, kThreads = kConsumers + kWarp;
constexpr int kTileRows = 8;  // out features
constexpr int kStageK = 1024, kWarpK = kStageK / kWarps;
constexpr int kPieceK = 4 * 8;  // of k, that a warp's load of 16 bytes a lane covers
constexpr int kPieces = kWarpK / kPieceK;
constexpr int kRowPadding = 32;  // numbers between rows in shared memory: two rows' pieces lie in different banks
constexpr int kStageNumbers = kTileRows * (kStageK + kRowPadding);
constexpr int kMaxTokens = 8;
constexpr int kFewestStages = 4, kMostStages = 12;
constexpr int64_t kStageBytes = kStageNumbers * 2;
// Two blocks of one kernel do not fit into an SM, where they would have to share what memory gives to one; but a block
// does beside one of attention.
constexpr int64_t kMinSharedBytes = 112 << 10, kWantedSharedBytes = 116 << 10, kMaxSharedBytes = 216 << 10;
constexpr int64_t kPrefetchBytes = 24 << 20;  // into L2, by all blocks together

int64_t x_bytes(int64_t tokens, int64_t in_features) { return tokens * (in_features + kRowPadding) * 2; }

struct Product {
  const __nv_bfloat16 *weight, *x;
  void* out;
  const float* bias;
  int64_t x_stride, out_stride;
  int tokens, out_features, in_features, stages;
  bool accumulate, out_is_f32;
  // Gated: the weight has as many rows of gate, then of up, as there are out features, and a tile half of each.
  bool gated;
  Activation activation;

  __device__ int tile_features() const { return gated ? kTileRows / 2 : kTileRows; }
  __device__ int tiles() const { return (out_features + tile_features() - 1) / tile_features(); }
  __device__ int stages_of_tile() const { return (in_features + kStageK - 1) / kStageK; }
  __device__ int rows_of(int tile) const { return gated ? kTileRows : min(kTileRows, out_features - tile * kTileRows); }
  __device__ const __nv_bfloat16* row(int tile, int i) const {
    const int first = tile * tile_features(), up = gated && i >= kTileRows / 2 ? out_features - kTileRows / 2 : 0;
    return weight + static_cast<int64_t>(first + up + i) * in_features;
  }
};

// Stages in the order in which they are filled and used.
struct Turn {
  int index = 0;
  uint32_t parity = 0;
  __device__ void advance(int stages) {
    if (++index == stages) index = 0, parity ^= 1;
  }
};

struct Ring {
  __nv_bfloat16* numbers;  // [stages, kTileRows, kStageK + kRowPadding]
  CopyBarrier *full, *empty;
};

// What a block reads after `tile`, up to its share of L2.
__device__ void prefetch_beyond(const Product& op, int tile) {
  int64_t left = kPrefetchBytes / gridDim.x;
  for (int next = tile + gridDim.x; next < op.tiles() && left > 0; next += gridDim.x) {
    const int rows = op.rows_of(next), neighbours = min(rows, op.tile_features());
    for (int i = 0; i < rows; i += neighbours) prefetch_to_l2(op.row(next, i), neighbours * op.in_features * 2);
    left -= rows * op.in_features * 2;
  }
}

[[maybe_unused]] __device__ void produce(const Product& op, const Ring& ring) {
  const int lane = threadIdx.x % kWarp;
  const int stages_of_tile = op.stages_of_tile();
  Turn turn;
  int filled = 0;
  for (int tile = blockIdx.x; tile < op.tiles(); tile += gridDim.x) {
    const int rows = op.rows_of(tile);
    for (int s = 0; s < stages_of_tile; s++, filled++) {
      if (filled == op.stages && lane == 0) prefetch_beyond(op, tile);
      ring.empty[turn.index].wait(turn.parity ^ 1);
      const int k = s * kStageK, bytes = min(kStageK, op.in_features - k) * 2;
      if (lane == 0) ring.full[turn.index].arrive_and_expect(rows * bytes);
      __syncwarp();
      if (lane < rows)
        ring.full[turn.index].copy(ring.numbers + turn.index * kStageNumbers + lane * (kStageK + kRowPadding),
                                   op.row(tile, lane) + k, bytes);
      turn.advance(op.stages);
    }
  }
}

using Sums = float[kWarps][kMaxTokens][kTileRows];

__device__ void wait_for_consumers() { asm volatile("bar.sync 1, %0;" ::"n"(kConsumers) : "memory"); }

// The warps' sums of a row of a tile, added in their order.
__device__ float row_sum(const Product& op, const Sums& sums, int token, int row, int bias_at) {
  float sum = 0;
#pragma unroll
  for (int w = 0; w < kWarps; w++) sum += sums[w][token][row];
  return op.bias ? sum + op.bias[bias_at] : sum;
}

__device__ void write_tile(const Product& op, const Sums& sums, int tile) {
  const int token = threadIdx.x / kTileRows, row = threadIdx.x % kTileRows;
  const int feature = tile * op.tile_features() + row;
  if (token >= op.tokens || row >= op.tile_features() || feature >= op.out_features) return;
  float sum = row_sum(op, sums, token, row, feature);
  if (op.gated)
    sum = activate(sum, op.activation) * row_sum(op, sums, token, row + kTileRows / 2, op.out_features + feature);
  const int64_t at = token * op.out_stride + feature;
  if (op.out_is_f32) {
    float& out = static_cast<float*>(op.out)[at];
    out = op.accumulate ? out + sum : sum;
  } else {
    __nv_bfloat16& out = static_cast<__nv_bfloat16*>(op.out)[at];
    out = __float2bfloat16(op.accumulate ? __bfloat162float(out) + sum : sum);
  }
}

__device__ float sum_of(const float (&sums)[kPieces][4], int i) {
  static_assert(kPieces == 4);
  return (sums[0][i] + sums[1][i]) + (sums[2][i] + sums[3][i]);
}

// Lane 4 g + t takes of row and token g the numbers 8 t to 8 t + 7 of every 32. The tensor cores see k in another
// order, which is the same for both factors.
[[maybe_unused]] __device__ void consume(const Product& op, const Ring& ring, __nv_bfloat16* x, Sums (&staged)[2]) {
  for (int token = 0; token < op.tokens; token++)
    for (int k = threadIdx.x * 8; k < op.in_features; k += kConsumers * 8)
      store8(x + token * (op.in_features + kRowPadding) + k, load8(op.x + token * op.x_stride + k));
  wait_for_consumers();

  const int warp = threadIdx.x / kWarp, lane = threadIdx.x % kWarp, row = lane / 4;
  const int lane_k = warp * kWarpK + lane % 4 * 8;
  const int stages_of_tile = op.stages_of_tile();
  Turn turn;
  int tiles_done = 0;
  for (int tile = blockIdx.x; tile < op.tiles(); tile += gridDim.x, tiles_done++) {
    const bool has_row = row < op.rows_of(tile), has_token = row < op.tokens;
    float sums[kPieces][4] = {};  // of each piece, so that products need not wait for each other
    for (int s = 0; s < stages_of_tile; s++) {
      ring.full[turn.index].wait(turn.parity);
      const __nv_bfloat16* weights = ring.numbers + turn.index * kStageNumbers + row * (kStageK + kRowPadding) + lane_k;
      const __nv_bfloat16* tokens = x + row * (op.in_features + kRowPadding) + s * kStageK + lane_k;
      const int left = op.in_features - s * kStageK - lane_k;
#pragma unroll
      for (int i = 0; i < kPieces; i++) {
        uint4 w{}, t{};
        if (has_row && i * kPieceK < left) w = *reinterpret_cast<const uint4*>(weights + i * kPieceK);
        if (has_token && i * kPieceK < left) t = *reinterpret_cast<const uint4*>(tokens + i * kPieceK);
        multiply_add(sums[i], {t.x, 0, t.y, 0}, w.x, w.y);
        multiply_add(sums[i], {t.z, 0, t.w, 0}, w.z, w.w);
      }
      __syncwarp();
      if (lane == 0) ring.empty[turn.index].arrive();
      turn.advance(op.stages);
    }
    Sums& here = staged[tiles_done % 2];  // by turns: one barrier a tile is enough
    *reinterpret_cast<float2*>(&here[warp][row][lane % 4 * 2]) = {sum_of(sums, 0), sum_of(sums, 1)};
    wait_for_consumers();
    write_tile(op, here, tile);
  }
}

__global__ void __launch_bounds__(kThreads) skinny_kernel(const __grid_constant__ Product op) {
#if __CUDA_ARCH__ >= 900
  extern __shared__ __align__(128) __nv_bfloat16 shared[];
  __shared__ Sums staged[2];
  __shared__ CopyBarrier full[kMostStages], empty[kMostStages];
  if (threadIdx.x == 0)
    for (int i = 0; i < op.stages; i++) full[i].init(1), empty[i].init(kWarps);
  __syncthreads();
  const Ring ring{shared, full, empty};
  if (threadIdx.x >= kConsumers) {
    produce(op, ring);
  } else {
    wait_for_previous_kernel();
    consume(op, ring, shared + op.stages * kStageNumbers, staged);
  }
#endif
}

bool aligned(const Tensor& x) { return x.stride % 8 == 0 && reinterpret_cast<uintptr_t>(x.data) % 16 == 0; }

Product product_of(const Tensor& out, const Tensor& x, const Weight& weight, const float* bias) {
  const int64_t wanted = (kWantedSharedBytes - x_bytes(x.rows, weight.in_features)) / kStageBytes;
  return {.weight = weight.storage.as<__nv_bfloat16>(),
          .x = static_cast<const __nv_bfloat16*>(x.data),
          .out = out.data,
          .bias = bias,
          .x_stride = x.stride,
          .out_stride = out.stride,
          .tokens = static_cast<int>(x.rows),
          .out_features = static_cast<int>(out.cols),
          .in_features = static_cast<int>(weight.in_features),
          .stages = static_cast<int>(std::clamp<int64_t>(wanted, kFewestStages, kMostStages)),
          .accumulate = false,
          .out_is_f32 = out.dtype == DType::f32,
          .gated = false,
          .activation = Activation::silu};
}

void run(const Product& product, cudaStream_t stream) {
  const int rows = product.gated ? kTileRows / 2 : kTileRows;
  const int tiles = (product.out_features + rows - 1) / rows;
  const int64_t bytes = product.stages * kStageBytes + x_bytes(product.tokens, product.in_features);
  launch(skinny_kernel, std::min(tiles, multiprocessors()), kThreads, std::max(bytes, kMinSharedBytes), stream,
         product);
}

}  // namespace

bool is_skinny(const Matmul& op) {
  return compute_capability() >= 90 && op.x.rows > 0 && op.x.rows <= kMaxTokens && op.weight.in_features % 8 == 0 &&
         aligned(op.x) && x_bytes(op.x.rows, op.weight.in_features) + kFewestStages * kStageBytes <= kMaxSharedBytes;
}

void skinny_matmul(const Matmul& op, cudaStream_t stream) {
  Product product = product_of(op.out, op.x, op.weight, op.bias);
  product.accumulate = op.accumulate;
  run(product, stream);
}

void skinny_gated_matmul(const GatedMatmul& op, cudaStream_t stream) {
  if (op.out.cols % (kTileRows / 2) != 0) throw Error(ExitCode::internal, "gated_matmul: mlp is no multiple of 4");
  Product product = product_of(op.out, op.x, op.weight, op.bias);
  product.gated = true;
  product.activation = op.activation;
  run(product, stream);
}

}  // namespace penstock::cuda
