// Norm, rotate, and for keys and values the way into their block. Two kernels: one for heads that are rotated whole and
// are a power of two wide, as nearly all are, in 16-byte pieces; one for all others, a warp a head.
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/ops.h"
#include "kernels/cuda/vector.cuh"

namespace penstock::cuda {
namespace {

constexpr int kWarps = 4;
constexpr int kMaxPairs = 4;  // of elements a lane: heads of up to 256

struct Store {
  __nv_bfloat16* qkv;
  int64_t stride;
  int heads, kv_heads, head_dim, rotary_dim;
  const float *q_norm, *k_norm;
  float norm_eps;
  const float* rope;
  __nv_bfloat16 *k, *v;
  int64_t block_size;
  const int32_t *positions, *token_rows, *row_rope, *row_table, *block_tables;
};

// Lane l holds elements 2 (l + 32 i) and the one after it, of pair i.
struct Head {
  float2 pair[kMaxPairs];
};

__device__ Head load_head(const __nv_bfloat16* x, int head_dim, int lane) {
  Head head;
#pragma unroll
  for (int i = 0; i < kMaxPairs; i++) {
    const int at = 2 * (lane + kWarp * i);
    head.pair[i] = at < head_dim ? __bfloat1622float2(*reinterpret_cast<const __nv_bfloat162*>(x + at)) : float2{};
  }
  return head;
}

__device__ void store_head(__nv_bfloat16* out, const Head& head, int head_dim, int lane) {
#pragma unroll
  for (int i = 0; i < kMaxPairs; i++) {
    const int at = 2 * (lane + kWarp * i);
    if (at < head_dim) *reinterpret_cast<__nv_bfloat162*>(out + at) = __float22bfloat162_rn(head.pair[i]);
  }
}

__device__ void norm_head(Head& head, const float* weight, int head_dim, float eps, int lane) {
  float squares = 0;
#pragma unroll
  for (const float2& x : head.pair) squares += x.x * x.x + x.y * x.y;
  const float scale = rsqrtf(warp_sum(squares) / static_cast<float>(head_dim) + eps);
#pragma unroll
  for (int i = 0; i < kMaxPairs; i++) {
    const int at = 2 * (lane + kWarp * i);
    if (at >= head_dim) continue;
    head.pair[i].x *= scale * weight[at];
    head.pair[i].y *= scale * weight[at + 1];
  }
}

// Element d < half turns with d + half. The other one comes through shared memory: its lane depends on the head's size.
__device__ void rotate(Head& head, const float* cos_sin, int rotary_dim, float* exchange, int lane) {
  const int half = rotary_dim / 2;
#pragma unroll
  for (int i = 0; i < kMaxPairs; i++) {
    const int at = 2 * (lane + kWarp * i);
    if (at < rotary_dim) exchange[at] = head.pair[i].x, exchange[at + 1] = head.pair[i].y;
  }
  __syncwarp();
  auto turned = [&](float x, int at) {
    if (at >= rotary_dim) return x;
    const bool low = at < half;
    const int angle = low ? at : at - half;
    const float other = exchange[low ? at + half : at - half];
    return x * cos_sin[angle] + (low ? -other : other) * cos_sin[half + angle];
  };
#pragma unroll
  for (int i = 0; i < kMaxPairs; i++) {
    const int at = 2 * (lane + kWarp * i);
    head.pair[i].x = turned(head.pair[i].x, at);
    head.pair[i].y = turned(head.pair[i].y, at + 1);
  }
  __syncwarp();
}

__global__ void __launch_bounds__(kWarps* kWarp) store_kernel(Store op) {
  __shared__ float exchange[kWarps][2 * kMaxPairs * kWarp];
  const int lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp;
  const int head = blockIdx.x * kWarps + warp;
  const int64_t token = blockIdx.y;
  wait_for_previous_kernel();
  if (head >= op.heads + 2 * op.kv_heads) return;
  const int64_t position = op.positions[token];
  if (position < 0) return;

  __nv_bfloat16* x = op.qkv + token * op.stride + head * op.head_dim;
  Head value = load_head(x, op.head_dim, lane);
  const bool is_q = head < op.heads, is_v = head >= op.heads + op.kv_heads;
  const int32_t row = op.token_rows[token];
  if (!is_v) {
    const float* norm = is_q ? op.q_norm : op.k_norm;
    if (norm) norm_head(value, norm, op.head_dim, op.norm_eps, lane);
    if (op.rope) {
      const int64_t entry = position + (op.row_rope ? op.row_rope[row] : 0);
      rotate(value, op.rope + entry * op.rotary_dim, op.rotary_dim, exchange[warp], lane);
    }
  }
  if (is_q) return store_head(x, value, op.head_dim, lane);
  const int64_t block = op.block_tables[op.row_table[row] + position / op.block_size];
  const int kv_head = head - op.heads - (is_v ? op.kv_heads : 0);
  __nv_bfloat16* cache = is_v ? op.v : op.k;
  store_head(cache + ((block * op.kv_heads + kv_head) * op.block_size + position % op.block_size) * op.head_dim, value,
             op.head_dim, lane);
}

// Lane l of a head holds its elements 8 l + i, and those half a head later that they turn with.
struct HalfPair {
  float low[Bf16x8::kSize], high[Bf16x8::kSize];
};

constexpr int kHeadsOfThread = 4;  // so many loads are under way at once, and share their angles
constexpr int kMaxThreads = 256;

template <int kDim>
__device__ void norm_halves(HalfPair& x, const float* weight, float eps, int at) {
  float squares = 0;
#pragma unroll
  for (int i = 0; i < Bf16x8::kSize; i++) squares += x.low[i] * x.low[i] + x.high[i] * x.high[i];
#pragma unroll
  for (int lanes = kDim / 32; lanes > 0; lanes /= 2) squares += __shfl_xor_sync(0xFFFFFFFF, squares, lanes);
  const float scale = rsqrtf(squares / kDim + eps);
#pragma unroll
  for (int i = 0; i < Bf16x8::kSize; i++) {
    x.low[i] *= scale * weight[at + i];
    x.high[i] *= scale * weight[at + kDim / 2 + i];
  }
}

// Grid: (tokens, groups of heads). A thread's heads are kHeadsOfThread neighbours.
template <int kDim>
__global__ void __launch_bounds__(kMaxThreads) store_whole_kernel(Store op) {
  constexpr int kLanes = kDim / 16, kHalf = kDim / 2;
  const int64_t token = blockIdx.x;
  const int at = threadIdx.x % kLanes * Bf16x8::kSize;
  const int first_head = (blockIdx.y * (blockDim.x / kLanes) + threadIdx.x / kLanes) * kHeadsOfThread;
  const int heads = op.heads + 2 * op.kv_heads, end = min(first_head + kHeadsOfThread, heads);
  wait_for_previous_kernel();
  const int64_t position = op.positions[token];
  if (position < 0) return;  // the whole block: no lane of a shuffle is missing

  const int32_t row = op.token_rows[token];
  HalfPair value[kHeadsOfThread] = {};
  __nv_bfloat16* const x = op.qkv + token * op.stride + at;
#pragma unroll
  for (int h = 0; h < kHeadsOfThread; h++) {
    if (first_head + h >= end) continue;
    load8(x + (first_head + h) * kDim).to(value[h].low);
    load8(x + (first_head + h) * kDim + kHalf).to(value[h].high);
  }
  float cosine[Bf16x8::kSize], sine[Bf16x8::kSize];
  if (op.rope) {
    const float* turn = op.rope + (position + (op.row_rope ? op.row_rope[row] : 0)) * kDim + at;
#pragma unroll
    for (int i = 0; i < Bf16x8::kSize; i += 4) {
      *reinterpret_cast<float4*>(cosine + i) = __ldg(reinterpret_cast<const float4*>(turn + i));
      *reinterpret_cast<float4*>(sine + i) = __ldg(reinterpret_cast<const float4*>(turn + kHalf + i));
    }
  }
  const int64_t block = op.block_tables[op.row_table[row] + position / op.block_size];
#pragma unroll
  for (int h = 0; h < kHeadsOfThread; h++) {
    const int head = first_head + h;
    const bool is_q = head < op.heads, is_v = head >= op.heads + op.kv_heads;
    // All lanes of a warp take part in the norm's sum, whatever their head.
    const float* norm = is_q ? op.q_norm : op.k_norm;
    if (op.q_norm || op.k_norm) {
      HalfPair normed = value[h];
      norm_halves<kDim>(normed, norm ? norm : op.q_norm ? op.q_norm : op.k_norm, op.norm_eps, at);
      if (norm && !is_v) value[h] = normed;
    }
    if (head >= end) continue;
    if (op.rope && !is_v) {
#pragma unroll
      for (int i = 0; i < Bf16x8::kSize; i++) {
        const float low = value[h].low[i], high = value[h].high[i];
        value[h].low[i] = low * cosine[i] - high * sine[i];
        value[h].high[i] = high * cosine[i] + low * sine[i];
      }
    }
    __nv_bfloat16* to = x + head * kDim;
    if (!is_q) {
      const int kv_head = head - op.heads - (is_v ? op.kv_heads : 0);
      to = (is_v ? op.v : op.k) + at +
           ((block * op.kv_heads + kv_head) * op.block_size + position % op.block_size) * kDim;
    }
    store8(to, Bf16x8::from(value[h].low));
    store8(to + kHalf, Bf16x8::from(value[h].high));
  }
}

template <int kDim>
void launch_whole(const Store& store, int64_t tokens, cudaStream_t stream) {
  constexpr int kLanes = kDim / 16;
  const int groups = (store.heads + 2 * store.kv_heads + kHeadsOfThread - 1) / kHeadsOfThread;
  const int threads = min((groups * kLanes + kWarp - 1) / kWarp * kWarp, kMaxThreads);
  const int blocks = (groups * kLanes + threads - 1) / threads;
  launch(store_whole_kernel<kDim>, dim3(static_cast<unsigned>(tokens), blocks), threads, 0, stream, store);
}

}  // namespace

void qk_norm_rope_store(const QkNormRopeStore& op, cudaStream_t stream) {
  const KvCache& cache = op.cache;
  if (cache.head_dim > 2 * kMaxPairs * kWarp || cache.head_dim % 8 != 0)
    throw Error(ExitCode::internal, "qk_norm_rope_store: head_dim is no multiple of 8 up to 256");
  if (cache.dtype != DType::bf16) throw Error(ExitCode::internal, "qk_norm_rope_store: the cache is not bf16");
  const Store store{.qkv = static_cast<__nv_bfloat16*>(op.qkv.data),
                    .stride = op.qkv.stride,
                    .heads = static_cast<int>(op.heads),
                    .kv_heads = static_cast<int>(cache.kv_heads),
                    .head_dim = static_cast<int>(cache.head_dim),
                    .rotary_dim = static_cast<int>(op.rotary_dim ? op.rotary_dim : cache.head_dim),
                    .q_norm = op.q_norm,
                    .k_norm = op.k_norm,
                    .norm_eps = op.norm_eps,
                    .rope = op.rope,
                    .k = static_cast<__nv_bfloat16*>(cache.k),
                    .v = static_cast<__nv_bfloat16*>(cache.v),
                    .block_size = cache.block_size,
                    .positions = op.step.positions,
                    .token_rows = op.step.token_rows,
                    .row_rope = op.step.row_rope,
                    .row_table = op.step.row_table,
                    .block_tables = op.step.block_tables};
  if (!store.rope || store.rotary_dim == store.head_dim) {
    if (store.head_dim == 64) return launch_whole<64>(store, op.step.tokens, stream);
    if (store.head_dim == 128) return launch_whole<128>(store, op.step.tokens, stream);
    if (store.head_dim == 256) return launch_whole<256>(store, op.step.tokens, stream);
  }
  const auto heads = static_cast<unsigned>(op.heads + 2 * cache.kv_heads);
  launch(store_kernel, dim3((heads + kWarps - 1) / kWarps, static_cast<unsigned>(op.step.tokens)), kWarps * kWarp, 0,
         stream, store);
}

}  // namespace penstock::cuda
