// Norm, rotate, and for keys and values the way into their block. Heads that are rotated whole and are a power of two
// wide, as nearly all are, go in 16-byte pieces, few tokens and many in a kernel each; all others by a warp a head.
#include "kernels/cuda/ops.h"
#include "kernels/cuda/whole_heads.cuh"

namespace penstock::cuda {
namespace {

constexpr int kWarps = 4;
constexpr int kMaxPairs = 4;  // of elements a lane: heads of up to 256

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
