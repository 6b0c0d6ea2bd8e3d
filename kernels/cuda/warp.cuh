// Exponentials, and sums over a warp and over a block.
#pragma once
#include "kernels/cuda/ptx.cuh"

namespace penstock::cuda {

constexpr int kWarp = 32;  // lanes

constexpr float kLog2E = 1.4426950408889634f;
__device__ inline float exp_approximate(float x) { return exp2_approximate(x * kLog2E); }

__device__ inline float warp_sum(float x) {
#pragma unroll
  for (int lanes = kWarp / 2; lanes > 0; lanes /= 2) x += __shfl_xor_sync(0xFFFFFFFF, x, lanes);
  return x;
}

// Over the whole block, in a fixed order; every thread gets the sum. `partial`: [blockDim.x / 32] of shared memory.
__device__ inline float block_sum(float x, float* partial) {
  x = warp_sum(x);
  if (threadIdx.x % kWarp == 0) partial[threadIdx.x / kWarp] = x;
  __syncthreads();
  float total = 0;
  for (int i = 0; i < blockDim.x / kWarp; i++) total += partial[i];
  return total;
}

}  // namespace penstock::cuda
