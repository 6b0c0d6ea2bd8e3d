// Of kernels/cuda/ptx.cuh what kernels on the CPU need.
#pragma once
#include "tests/cuda_on_cpu/device.h"

namespace penstock::cuda {

inline float exp2_approximate(float x) { return std::exp2(x); }
inline uint2 multiply_wide(uint32_t a, uint32_t b) {
  const uint64_t product = static_cast<uint64_t>(a) * b;
  return {static_cast<uint32_t>(product), static_cast<uint32_t>(product >> 32)};
}
inline uint32_t kept_in_register(uint32_t x) { return x; }
inline char* dynamic_shared_memory() { return cuda_on_cpu::device().current().block->shared; }
inline void wait_for_previous_kernel() {}

}  // namespace penstock::cuda
