// Of kernels/cuda/vector.cuh what kernels on the CPU need.
#pragma once
#include "tests/cuda_on_cpu/device.h"

namespace penstock::cuda {

constexpr int kWarp = 32;
constexpr float kLog2E = 1.4426950408889634f;

inline float exp2_approximate(float x) { return std::exp2(x); }
inline float exp_approximate(float x) { return exp2_approximate(x * kLog2E); }
inline uint2 multiply_wide(uint32_t a, uint32_t b) {
  const uint64_t product = static_cast<uint64_t>(a) * b;
  return {static_cast<uint32_t>(product), static_cast<uint32_t>(product >> 32)};
}
inline uint32_t kept_in_register(uint32_t x) { return x; }
inline float warp_sum(float x) {
  for (int lanes = kWarp / 2; lanes > 0; lanes /= 2) x += __shfl_xor_sync(0xFFFFFFFF, x, lanes);
  return x;
}
inline float block_sum(float x, float* partial) {
  x = warp_sum(x);
  if (threadIdx.x % kWarp == 0) partial[threadIdx.x / kWarp] = x;
  __syncthreads();
  float total = 0;
  for (unsigned i = 0; i < blockDim.x / kWarp; i++) total += partial[i];
  return total;
}
inline char* dynamic_shared_memory() { return cuda_on_cpu::device().current().block->shared; }
inline void wait_for_previous_kernel() {}

}  // namespace penstock::cuda
