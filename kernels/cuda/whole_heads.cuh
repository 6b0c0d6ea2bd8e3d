// qk_norm_rope_store for heads that are rotated whole and 64, 128 or 256 wide: a lane holds 16 bytes of either half.
#pragma once
#include <algorithm>

#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/mma.cuh"
#include "kernels/cuda/vector.cuh"

namespace penstock::cuda {

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

// Lane l of a head holds its elements 8 l + i, and those half a head later that they turn with.
struct HalfPair {
  float low[Bf16x8::kSize], high[Bf16x8::kSize];
};

constexpr int kHeadsOfThread = 2;  // neighbours, that share their angles
constexpr int kTokenStages = 4;    // tokens of a block that are under way at once
constexpr int kMaxHeadThreads = 256, kHeadBlocksPerSm = 4;

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

// Where a token stands, and a lane's angles there.
struct Place {
  int64_t position = -1, cache_row = 0;  // of head 0, in rows of head_dim
  float cosine[Bf16x8::kSize], sine[Bf16x8::kSize];

  template <int kDim>
  __device__ void find(const Store& op, int64_t token, int at) {
    position = op.positions[token];
    if (position < 0) return;
    const int32_t row = op.token_rows[token];
    const int64_t block = op.block_tables[op.row_table[row] + position / op.block_size];
    cache_row = block * op.kv_heads * op.block_size + position % op.block_size;
    if (!op.rope) return;
    const float* turn = op.rope + (position + (op.row_rope ? op.row_rope[row] : 0)) * kDim + at;
#pragma unroll
    for (int i = 0; i < Bf16x8::kSize; i += 4) {
      *reinterpret_cast<float4*>(cosine + i) = __ldg(reinterpret_cast<const float4*>(turn + i));
      *reinterpret_cast<float4*>(sine + i) = __ldg(reinterpret_cast<const float4*>(turn + kDim / 2 + i));
    }
  }
};

// One thread's part of a token: kHeadsOfThread heads from `first_head` on, of which it holds the numbers at `at` and
// half a head later. All lanes of a warp call together.
template <int kDim>
struct ThreadHeads {
  static constexpr int kHalf = kDim / 2;
  const Store& op;
  int first_head, at;

  __device__ bool exists(int h) const { return first_head + h < op.heads + 2 * op.kv_heads; }
  __device__ __nv_bfloat16* numbers(int64_t token, int h) const {
    return op.qkv + token * op.stride + (first_head + h) * kDim + at;
  }

  __device__ void store(int64_t token, int h, const Place& place, const Bf16x8& low, const Bf16x8& high) const {
    const int head = first_head + h;
    const bool is_q = head < op.heads, is_v = head >= op.heads + op.kv_heads;
    HalfPair value;
    low.to(value.low);
    high.to(value.high);
    const float* norm = is_q ? op.q_norm : op.k_norm;
    if (op.q_norm || op.k_norm) {  // whatever the head: all lanes take part in the sum
      HalfPair normed = value;
      norm_halves<kDim>(normed, norm ? norm : op.q_norm ? op.q_norm : op.k_norm, op.norm_eps, at);
      if (norm && !is_v) value = normed;
    }
    if (!exists(h)) return;
    if (op.rope && !is_v) {
#pragma unroll
      for (int i = 0; i < Bf16x8::kSize; i++) {
        const float x = value.low[i], y = value.high[i];
        value.low[i] = x * place.cosine[i] - y * place.sine[i];
        value.high[i] = y * place.cosine[i] + x * place.sine[i];
      }
    }
    __nv_bfloat16* to = numbers(token, h);
    if (!is_q) {
      const int kv_head = head - op.heads - (is_v ? op.kv_heads : 0);
      to = (is_v ? op.v : op.k) + (place.cache_row + kv_head * op.block_size) * kDim + at;
    }
    store8(to, Bf16x8::from(value.low));
    store8(to + kHalf, Bf16x8::from(value.high));
  }
};

template <int kDim>
__device__ ThreadHeads<kDim> heads_of_thread(const Store& op) {
  constexpr int kLanes = kDim / 16;
  return {op, static_cast<int>(blockIdx.y * (blockDim.x / kLanes) + threadIdx.x / kLanes) * kHeadsOfThread,
          static_cast<int>(threadIdx.x % kLanes) * Bf16x8::kSize};
}

// Grid: (tokens, groups of heads). Where a token stands is known before the kernel ahead has ended.
template <int kDim>
__global__ void __launch_bounds__(kMaxHeadThreads) store_few_kernel(Store op) {
  const ThreadHeads<kDim> heads = heads_of_thread<kDim>(op);
  const int64_t token = blockIdx.x;
  Place place;
  place.find<kDim>(op, token, heads.at);
  wait_for_previous_kernel();
  if (place.position < 0) return;
  Bf16x8 low[kHeadsOfThread] = {}, high[kHeadsOfThread] = {};
#pragma unroll
  for (int h = 0; h < kHeadsOfThread; h++)
    if (heads.exists(h))
      low[h] = load8(heads.numbers(token, h)), high[h] = load8(heads.numbers(token, h) + heads.kHalf);
#pragma unroll
  for (int h = 0; h < kHeadsOfThread; h++) heads.store(token, h, place, low[h], high[h]);
}

// Grid: (blocks, groups of heads); a block takes every gridDim.x-th token. What is under way lies in shared memory: in
// registers there would be too little of it to keep memory busy. Each thread waits for its own pieces only.
template <int kDim>
__global__ void __launch_bounds__(kMaxHeadThreads, kHeadBlocksPerSm) store_many_kernel(Store op, int64_t tokens) {
  extern __shared__ __align__(128) Bf16x8 ring[];  // [kTokenStages][kHeadsOfThread][low, high][threads]
  const ThreadHeads<kDim> heads = heads_of_thread<kDim>(op);
  auto piece = [&](int stage, int h, int half) -> Bf16x8& {
    return ring[((stage * kHeadsOfThread + h) * 2 + half) * blockDim.x + threadIdx.x];
  };
  auto fetch = [&](int stage, int64_t token) {  // a committed group in any case: waiting counts groups
#pragma unroll
    for (int h = 0; h < kHeadsOfThread; h++)
#pragma unroll
      for (int half = 0; half < 2; half++) {
        const bool wanted = token < tokens && heads.exists(h);
        copy_async16(shared_address(&piece(stage, h, half)),
                     wanted ? heads.numbers(token, h) + half * heads.kHalf : op.qkv, wanted);
      }
    commit_copies();
  };

  int64_t token = blockIdx.x;
  Place place;
  place.find<kDim>(op, token, heads.at);
  wait_for_previous_kernel();
#pragma unroll
  for (int stage = 0; stage < kTokenStages - 1; stage++) fetch(stage, token + stage * gridDim.x);
  for (int stage = 0; token < tokens; token += gridDim.x, stage = stage == kTokenStages - 1 ? 0 : stage + 1) {
    fetch(stage == 0 ? kTokenStages - 1 : stage - 1, token + (kTokenStages - 1) * gridDim.x);
    wait_for_copies<kTokenStages - 1>();
    if (place.position >= 0)
#pragma unroll
      for (int h = 0; h < kHeadsOfThread; h++) heads.store(token, h, place, piece(stage, h, 0), piece(stage, h, 1));
    if (token + gridDim.x < tokens) place.find<kDim>(op, token + gridDim.x, heads.at);
  }
}

template <int kDim>
void launch_whole(const Store& store, int64_t tokens, cudaStream_t stream) {
  constexpr int kLanes = kDim / 16;
  const int groups = (store.heads + 2 * store.kv_heads + kHeadsOfThread - 1) / kHeadsOfThread;
  const int threads = min((groups * kLanes + kWarp - 1) / kWarp * kWarp, kMaxHeadThreads);
  const int parts = (groups * kLanes + threads - 1) / threads;
  const int64_t resident = std::max(multiprocessors() * kHeadBlocksPerSm / parts, 1);
  if (tokens <= resident)
    return launch(store_few_kernel<kDim>, dim3(static_cast<unsigned>(tokens), parts), threads, 0, stream, store);
  launch(store_many_kernel<kDim>, dim3(static_cast<unsigned>(resident), parts), threads,
         kTokenStages * kHeadsOfThread * 2 * sizeof(Bf16x8) * threads, stream, store, tokens);
}

}  // namespace penstock::cuda
