// One block a token. The row is read once and stays in registers between the sum and the scaling.
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/ops.h"
#include "kernels/cuda/other_parts.cuh"
#include "kernels/cuda/vector.cuh"

namespace penstock::cuda {
namespace {

constexpr int kMaxThreads = 1024;

struct NormRows {
  __nv_bfloat16* out;
  __nv_bfloat16* residual;  // null: x is normed as it is
  const __nv_bfloat16* x;
  const float* weight;
  int64_t out_stride, residual_stride, x_stride;
  int hidden;
  float eps;
  OtherRows others;  // used with kSum
};

// Eight weights, asked for together.
struct Weights {
  float value[Bf16x8::kSize];
  __device__ void load(const float* at) {
    const float4 low = __ldg(reinterpret_cast<const float4*>(at)),
                 high = __ldg(reinterpret_cast<const float4*>(at) + 1);
    *this = {{low.x, low.y, low.z, low.w, high.x, high.y, high.z, high.w}};
  }
};

// kVectors: of eight elements a thread. What the kernel ahead does not write is fetched before that has ended: a single
// token's norm is as long as its loads wait for each other.
template <int kVectors, bool kAdd, bool kSum>
__global__ void __launch_bounds__(kMaxThreads) norm_kernel(NormRows rows) {
  __shared__ float partial[kMaxThreads / kWarp];
  const int64_t token = blockIdx.x;
  const int vectors = rows.hidden / Bf16x8::kSize;
  const __nv_bfloat16* x = rows.x + token * rows.x_stride;
  float value[kVectors][Bf16x8::kSize];
  float squares = 0;
  Weights weights[kVectors];
#pragma unroll
  for (int v = 0; v < kVectors; v++) {
    const int at = v * blockDim.x + threadIdx.x;
    if (at >= vectors) continue;
    weights[v].load(rows.weight + at * Bf16x8::kSize);
    if constexpr (kAdd) prefetch_line(rows.residual + token * rows.residual_stride + at * Bf16x8::kSize);
  }

  wait_for_previous_kernel();
#pragma unroll
  for (int v = 0; v < kVectors; v++) {
    const int at = v * blockDim.x + threadIdx.x;
    if (at >= vectors) continue;
    load8(x + at * Bf16x8::kSize).to(value[v]);
    if constexpr (kSum) rows.others.add_to(value[v], token, at * Bf16x8::kSize);
    if constexpr (kAdd) {
      // What is normed is the sum as it will be read again, rounded.
      __nv_bfloat16* residual = rows.residual + token * rows.residual_stride + at * Bf16x8::kSize;
      float before[Bf16x8::kSize];
      load8(residual).to(before);
#pragma unroll
      for (int i = 0; i < Bf16x8::kSize; i++) value[v][i] += before[i];
      const Bf16x8 sum = Bf16x8::from(value[v]);
      store8(residual, sum);
      sum.to(value[v]);
    }
#pragma unroll
    for (int i = 0; i < Bf16x8::kSize; i++) squares += value[v][i] * value[v][i];
  }
  const float scale = rsqrtf(block_sum(squares, partial) / static_cast<float>(rows.hidden) + rows.eps);
#pragma unroll
  for (int v = 0; v < kVectors; v++) {
    const int at = v * blockDim.x + threadIdx.x;
    if (at >= vectors) continue;
#pragma unroll
    for (int i = 0; i < Bf16x8::kSize; i++) value[v][i] *= scale * weights[v].value[i];
    store8(rows.out + token * rows.out_stride + at * Bf16x8::kSize, Bf16x8::from(value[v]));
  }
}

template <bool kAdd, bool kSum = false>
void launch_norm(const NormRows& rows, int64_t tokens, cudaStream_t stream) {
  const int vectors = rows.hidden / Bf16x8::kSize;
  int per_thread = 1;
  while (vectors > per_thread * (per_thread == 1 ? kMaxThreads / 2 : kMaxThreads)) per_thread *= 2;
  const int threads = (vectors + per_thread * kWarp - 1) / (per_thread * kWarp) * kWarp;
  const dim3 grid(static_cast<unsigned>(tokens)), block(threads);
  switch (per_thread) {
    case 1:
      return launch(norm_kernel<1, kAdd, kSum>, grid, block, 0, stream, rows);
    case 2:
      return launch(norm_kernel<2, kAdd, kSum>, grid, block, 0, stream, rows);
    case 4:
      return launch(norm_kernel<4, kAdd, kSum>, grid, block, 0, stream, rows);
    default:
      throw Error(ExitCode::internal, "rms_norm: hidden is above 32768");
  }
}

template <class Op>
NormRows rows_of(const Op& op) {
  if (op.x.cols % Bf16x8::kSize != 0) throw Error(ExitCode::internal, "rms_norm: hidden is no multiple of 8");
  return {.out = static_cast<__nv_bfloat16*>(op.out.data),
          .residual = nullptr,
          .x = static_cast<const __nv_bfloat16*>(op.x.data),
          .weight = op.weight,
          .out_stride = op.out.stride,
          .residual_stride = 0,
          .x_stride = op.x.stride,
          .hidden = static_cast<int>(op.x.cols),
          .eps = op.eps,
          .others = {}};
}

NormRows rows_to_add(const AddRmsNorm& op) {
  NormRows rows = rows_of(op);
  rows.residual = static_cast<__nv_bfloat16*>(op.residual.data);
  rows.residual_stride = op.residual.stride;
  return rows;
}

}  // namespace

void rms_norm(const RmsNorm& op, cudaStream_t stream) { launch_norm<false>(rows_of(op), op.x.rows, stream); }

void add_rms_norm(const AddRmsNorm& op, cudaStream_t stream) { launch_norm<true>(rows_to_add(op), op.x.rows, stream); }

void sum_add_rms_norm(const AddRmsNorm& op, const OtherParts& others, cudaStream_t stream) {
  NormRows rows = rows_to_add(op);
  rows.others = OtherRows::of(others);
  launch_norm<true, true>(rows, op.x.rows, stream);
}

void load_sum_add_rms_norm_kernels() {
  load_kernels(norm_kernel<1, true, true>, norm_kernel<2, true, true>, norm_kernel<4, true, true>);
}

}  // namespace penstock::cuda
