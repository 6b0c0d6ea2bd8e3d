// A block's one producer warp streams tiles of eight out features, a stage of their k after the other, through a ring
// in shared memory; the other warps share a stage's k and multiply it by x, which lies in shared memory too. The ring
// fills before the kernel ahead has ended, as soon as the product before has left the SM.
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
constexpr int64_t kMinSharedBytes = 112 << 10, kMaxSharedBytes = 216 << 10;
// So much under way in each block keeps memory busy. With half as much again SMs that are near to it would take more
// than their share, and the others, whose tiles are as many, end late.
constexpr int64_t kUnderWayBytes = 64 << 10;

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

// The weights are not read again before the next step: they shall not drive out of L2 what is.
[[maybe_unused]] __device__ void produce(const Product& op, const Ring& ring) {
  const uint64_t policy = read_once_policy();
  Turn turn;
  for (int tile = blockIdx.x; tile < op.tiles(); tile += gridDim.x) {
    const int rows = op.rows_of(tile);
    const __nv_bfloat16 *first = op.row(tile, 0), *second = op.row(tile, kTileRows / 2);
    for (int k = 0; k < op.in_features; k += kStageK) {
      const int bytes = min(kStageK, op.in_features - k) * 2;
      CopyBarrier& full = ring.full[turn.index];
      ring.empty[turn.index].wait(turn.parity ^ 1);
      if (elected()) {
        full.arrive_and_expect(rows * bytes);
        __nv_bfloat16* to = ring.numbers + turn.index * kStageNumbers;
#pragma unroll
        for (int i = 0; i < kTileRows; i++) {
          const int64_t at = static_cast<int64_t>(i % (kTileRows / 2)) * op.in_features + k;
          if (i < rows)
            full.copy(to + i * (kStageK + kRowPadding), (i < kTileRows / 2 ? first : second) + at, bytes, policy);
        }
      }
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

// All of it at once: a loop of loads would wait for memory several times.
[[maybe_unused]] __device__ void copy_x(const Product& op, __nv_bfloat16* to, CopyBarrier& x_there) {
  if (threadIdx.x == 0) {
    x_there.arrive_and_expect(op.tokens * op.in_features * 2);
    for (int token = 0; token < op.tokens; token++)
      x_there.copy(to + token * (op.in_features + kRowPadding), op.x + token * op.x_stride, op.in_features * 2);
  }
  x_there.wait(0);
}

// The products of 8 rows and 8 tokens as the tensor cores see them. Lane 4 g + t brings of row and token g the numbers
// 8 t to 8 t + 7 of every 32, as four pairs, and a row's pairs are a whole fragment: the first and the third are its
// row g, the others row g + 8. The first factor that is right for row g leaves nothing of use in row g + 8, and the
// other way round; so each has sums of its own.
struct RowSums {
  static constexpr int kChains = 2;  // sums of pieces by turns, so that products need not wait for each other
  float even[kChains][4] = {}, odd[kChains][4] = {};

  __device__ void add(int piece, const uint4& row, const uint4& token) {
    const uint32_t pairs[4] = {row.x, row.y, row.z, row.w};
    multiply_add(even[piece % kChains], pairs, token.x, token.z);
    multiply_add(odd[piece % kChains], pairs, token.y, token.w);
  }
  // Of row g and token 2 t + i.
  __device__ float total(int i) const { return (even[0][i] + odd[0][2 + i]) + (even[1][i] + odd[1][2 + i]); }
};

[[maybe_unused]] __device__ void consume(const Product& op, const Ring& ring, const __nv_bfloat16* x,
                                         Sums (&staged)[2]) {
  const int warp = threadIdx.x / kWarp, lane = threadIdx.x % kWarp, row = lane / 4;
  const int lane_k = warp * kWarpK + lane % 4 * 8;
  Turn turn;
  int tiles_done = 0;
  for (int tile = blockIdx.x; tile < op.tiles(); tile += gridDim.x, tiles_done++) {
    const bool has_row = row < op.rows_of(tile), has_token = row < op.tokens;
    RowSums sums;
    for (int k = 0; k < op.in_features; k += kStageK) {
      const __nv_bfloat16* weights = ring.numbers + turn.index * kStageNumbers + row * (kStageK + kRowPadding) + lane_k;
      const __nv_bfloat16* tokens = x + row * (op.in_features + kRowPadding) + k + lane_k;
      const int left = op.in_features - k - lane_k;
      uint4 w[kPieces] = {}, t[kPieces] = {};
#pragma unroll
      for (int i = 0; i < kPieces; i++)
        if (has_token && i * kPieceK < left) t[i] = *reinterpret_cast<const uint4*>(tokens + i * kPieceK);
      ring.full[turn.index].wait(turn.parity);
#pragma unroll
      for (int i = 0; i < kPieces; i++)
        if (has_row && i * kPieceK < left) w[i] = *reinterpret_cast<const uint4*>(weights + i * kPieceK);
      __syncwarp();
      if (lane == 0) ring.empty[turn.index].arrive();
#pragma unroll
      for (int i = 0; i < kPieces; i++) sums.add(i, w[i], t[i]);
      turn.advance(op.stages);
    }
    Sums& here = staged[tiles_done % 2];  // by turns: one barrier a tile is enough
#pragma unroll
    for (int i = 0; i < 2; i++) here[warp][lane % 4 * 2 + i][row] = sums.total(i);
    wait_for_consumers();
    write_tile(op, here, tile);
  }
}

__global__ void __launch_bounds__(kThreads) skinny_kernel(const __grid_constant__ Product op) {
#if __CUDA_ARCH__ >= 900
  extern __shared__ __align__(128) __nv_bfloat16 shared[];
  __shared__ Sums staged[2];
  __shared__ CopyBarrier full[kMostStages], empty[kMostStages], x_there;
  if (threadIdx.x == 0) {
    for (int i = 0; i < op.stages; i++) full[i].init(1), empty[i].init(kWarps);
    x_there.init(1);
  }
  __syncthreads();
  const Ring ring{shared, full, empty};
  if (__shfl_sync(0xFFFFFFFF, threadIdx.x / kWarp, 0) == kWarps) {
    produce(op, ring);
  } else {
    __nv_bfloat16* const x = shared + op.stages * kStageNumbers;
    wait_for_previous_kernel();
    copy_x(op, x, x_there);
    consume(op, ring, x, staged);
  }
#endif
}

bool aligned(const Tensor& x) { return x.stride % 8 == 0 && reinterpret_cast<uintptr_t>(x.data) % 16 == 0; }

Product product_of(const Tensor& out, const Tensor& x, const Weight& weight, const float* bias) {
  const int64_t wanted = kUnderWayBytes / (kTileRows * 2 * std::min<int64_t>(weight.in_features, kStageK));
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
  return compute_capability() >= 90 && attribute(cudaDevAttrMaxSharedMemoryPerBlockOptin) >= kMaxSharedBytes &&
         op.x.rows > 0 && op.x.rows <= kMaxTokens && op.weight.in_features % 8 == 0 && aligned(op.x) &&
         x_bytes(op.x.rows, op.weight.in_features) + kFewestStages * kStageBytes <= kMaxSharedBytes;
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
