// Verbs that touch each element once. Grids are (vectors of a row, rows), so that rows may have gaps between them.
#include <algorithm>

#include "kernels/cuda/activation.cuh"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/ops.h"
#include "kernels/cuda/vector.cuh"

namespace penstock::cuda {
namespace {

constexpr int kThreads = 256;

dim3 grid_of(int64_t rows, int64_t vectors) {
  return {static_cast<unsigned>((vectors + kThreads - 1) / kThreads), static_cast<unsigned>(rows)};
}

template <class T>
struct Rows {
  T* data;
  int64_t stride;
  __device__ T* row(int64_t r) const { return data + r * stride; }
};
template <class T>
Rows<T> rows_of(const Tensor& x) {
  return {static_cast<T*>(x.data), x.stride};
}

__global__ void __launch_bounds__(kThreads)
    embed_kernel(Rows<__nv_bfloat16> out, const __nv_bfloat16* table, int64_t table_rows, int64_t hidden,
                 int64_t first_id, const int32_t* input_ids, const int32_t* last_tokens, float scale) {
  const int64_t token = blockIdx.y, at = (blockIdx.x * int64_t{kThreads} + threadIdx.x) * Bf16x8::kSize;
  wait_for_previous_kernel();
  if (at >= hidden) return;
  int32_t id = input_ids[token];
  if (id < 0) id = last_tokens[~id];
  const int64_t row = id - first_id;
  float value[Bf16x8::kSize] = {};
  if (row >= 0 && row < table_rows) {
    load8(table + row * hidden + at).to(value);
#pragma unroll
    for (float& x : value) x *= scale;
  }
  store8(out.row(token) + at, Bf16x8::from(value));
}

__global__ void __launch_bounds__(kThreads)
    gated_mul_kernel(Rows<__nv_bfloat16> out, Rows<const __nv_bfloat16> gate_up, int64_t mlp, Activation activation) {
  const int64_t token = blockIdx.y, at = (blockIdx.x * int64_t{kThreads} + threadIdx.x) * Bf16x8::kSize;
  wait_for_previous_kernel();
  if (at >= mlp) return;
  float gate[Bf16x8::kSize], up[Bf16x8::kSize];
  load8(gate_up.row(token) + at).to(gate);
  load8(gate_up.row(token) + mlp + at).to(up);
#pragma unroll
  for (int i = 0; i < Bf16x8::kSize; i++) gate[i] = activate(gate[i], activation) * up[i];
  store8(out.row(token) + at, Bf16x8::from(gate));
}

__global__ void __launch_bounds__(kThreads)
    gather_kernel(Rows<__nv_bfloat16> out, Rows<const __nv_bfloat16> x, const int32_t* indices, int64_t hidden) {
  const int64_t row = blockIdx.y, at = (blockIdx.x * int64_t{kThreads} + threadIdx.x) * Bf16x8::kSize;
  wait_for_previous_kernel();
  if (at < hidden) store8(out.row(row) + at, load8(x.row(indices[row]) + at));
}

__global__ void __launch_bounds__(kThreads) soft_cap_kernel(Rows<float> x, int64_t cols, float cap) {
  const int64_t row = blockIdx.y, at = blockIdx.x * int64_t{kThreads} + threadIdx.x;
  wait_for_previous_kernel();
  if (at < cols) x.row(row)[at] = cap * tanhf(x.row(row)[at] / cap);
}

template <class T>
__global__ void __launch_bounds__(kThreads) bias_kernel(Rows<T> out, const float* bias, int64_t cols, bool accumulate) {
  const int64_t row = blockIdx.y, at = blockIdx.x * int64_t{kThreads} + threadIdx.x;
  wait_for_previous_kernel();
  if (at >= cols) return;
  T& x = out.row(row)[at];
  x = static_cast<T>(accumulate ? static_cast<float>(x) + bias[at] : bias[at]);
}

__global__ void __launch_bounds__(kThreads) read_kernel(const uint4* memory, int64_t vectors) {
  uint32_t sum = 0;
  for (int64_t i = blockIdx.x * int64_t{kThreads} + threadIdx.x; i < vectors; i += gridDim.x * int64_t{kThreads}) {
    const uint4 x = __ldcg(memory + i);
    sum += x.x ^ x.y ^ x.z ^ x.w;
  }
  if (sum == 0x9E3779B9u) asm volatile("nanosleep.u32 1;");  // a use of the sum, so that the loads stay
}

struct CopyBatch {
  static constexpr int kSize = 128;  // what fits a kernel's parameters comfortably
  BlockCopy copies[kSize];
};

__global__ void __launch_bounds__(kThreads) copy_blocks_kernel(uint4* k, uint4* v, CopyBatch batch, int64_t vectors) {
  const BlockCopy copy = batch.copies[blockIdx.y];
  uint4* cache = blockIdx.z == 0 ? k : v;
  wait_for_previous_kernel();
  for (int64_t i = blockIdx.x * int64_t{kThreads} + threadIdx.x; i < vectors; i += gridDim.x * int64_t{kThreads})
    cache[copy.to * vectors + i] = cache[copy.from * vectors + i];
}

int64_t eights(int64_t count, const char* what) {
  if (count % Bf16x8::kSize != 0) throw Error(ExitCode::internal, std::string(what) + " is no multiple of 8");
  return count / Bf16x8::kSize;
}

}  // namespace

void embed(const Embed& op, cudaStream_t stream) {
  const int64_t hidden = op.out.cols;
  launch(embed_kernel, grid_of(op.out.rows, eights(hidden, "embed: hidden")), kThreads, 0, stream,
         rows_of<__nv_bfloat16>(op.out), op.table.storage.as<__nv_bfloat16>(), op.table.out_features, hidden,
         op.first_id, op.step.input_ids, op.last_tokens, bf16_to_f32(f32_to_bf16(op.scale)));
}

void add_bias(const Matmul& op, cudaStream_t stream) {
  const dim3 grid = grid_of(op.out.rows, op.out.cols);
  if (op.out.dtype == DType::f32)
    return launch(bias_kernel<float>, grid, kThreads, 0, stream, rows_of<float>(op.out), op.bias, op.out.cols,
                  op.accumulate);
  launch(bias_kernel<__nv_bfloat16>, grid, kThreads, 0, stream, rows_of<__nv_bfloat16>(op.out), op.bias, op.out.cols,
         op.accumulate);
}

void read_memory(const void* memory, int64_t bytes, cudaStream_t stream) {
  read_kernel<<<1024, kThreads, 0, stream>>>(static_cast<const uint4*>(memory), bytes / 16);
  PENSTOCK_CUDA(cudaGetLastError());
}

void gated_mul(const GatedMul& op, cudaStream_t stream) {
  const int64_t mlp = op.out.cols;
  launch(gated_mul_kernel, grid_of(op.out.rows, eights(mlp, "gated_mul: mlp")), kThreads, 0, stream,
         rows_of<__nv_bfloat16>(op.out), rows_of<const __nv_bfloat16>(op.gate_up), mlp, op.activation);
}

void gather_rows(const GatherRows& op, cudaStream_t stream) {
  const int64_t hidden = op.out.cols;
  launch(gather_kernel, grid_of(op.out.rows, eights(hidden, "gather_rows: hidden")), kThreads, 0, stream,
         rows_of<__nv_bfloat16>(op.out), rows_of<const __nv_bfloat16>(op.x), op.indices, hidden);
}

void soft_cap(const SoftCap& op, cudaStream_t stream) {
  launch(soft_cap_kernel, grid_of(op.x.rows, op.x.cols), kThreads, 0, stream, rows_of<float>(op.x), op.x.cols, op.cap);
}

void copy_blocks(const CopyBlocks& op, cudaStream_t stream) {
  const KvCache& cache = op.cache;
  if (cache.dtype != DType::bf16) throw Error(ExitCode::internal, "copy_blocks: the cache is not bf16");
  const int64_t vectors = eights(cache.kv_heads * cache.block_size * cache.head_dim, "copy_blocks: a block");
  for (size_t first = 0; first < op.copies.size(); first += CopyBatch::kSize) {
    const auto part = op.copies.subspan(first, std::min<size_t>(CopyBatch::kSize, op.copies.size() - first));
    CopyBatch batch;
    std::copy(part.begin(), part.end(), batch.copies);
    const auto each = std::clamp<int64_t>((vectors + kThreads - 1) / kThreads, 1, 2048 / std::ssize(part) + 1);
    const dim3 grid(static_cast<unsigned>(each), static_cast<unsigned>(part.size()), 2);
    launch(copy_blocks_kernel, grid, kThreads, 0, stream, static_cast<uint4*>(cache.k), static_cast<uint4*>(cache.v),
           batch, vectors);
  }
}

}  // namespace penstock::cuda
