// What CUDA C++ has no name for, or no better one. PTX ISA.
#pragma once
#include <cuda_runtime.h>

#include <cstdint>

namespace penstock::cuda {

__device__ inline uint32_t shared_address(const void* pointer) {
  return static_cast<uint32_t>(__cvta_generic_to_shared(pointer));
}

__device__ inline float exp2_approximate(float x) {  // 2 ulp; 0 for -inf
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}
__device__ inline uint2 multiply_wide(uint32_t a, uint32_t b) {  // low, high; one instruction
  uint2 product;
  asm("{\n.reg .b64 both;\nmul.wide.u32 both, %2, %3;\nmov.b64 {%0, %1}, both;\n}"
      : "=r"(product.x), "=r"(product.y)
      : "r"(a), "r"(b));
  return product;
}
// So that no use computes it anew.
__device__ inline uint32_t kept_in_register(uint32_t x) {
  asm volatile("mov.u32 %0, %0;" : "+r"(x));
  return x;
}

// What the launch gave this block, aligned to 128.
__device__ inline char* dynamic_shared_memory() {
  extern __shared__ __align__(128) char memory[];
  return memory;
}

// Into L2, the line that holds `at`.
__device__ inline void prefetch_line(const void* at) {
  asm volatile("prefetch.global.L2 [%0];" ::"l"(__cvta_generic_to_global(at)));
}

// Programmatic dependent launch: nothing that the kernels before wrote may be read before this.
__device__ inline void wait_for_memory() {
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}
// The kernel behind may be scheduled, and reach its own wait, once a thread of every block has called this, or the
// block has ended.
__device__ inline void launch_dependents() {
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.launch_dependents;");
#endif
}
__device__ inline void wait_for_previous_kernel() {
  launch_dependents();
  wait_for_memory();
}

}  // namespace penstock::cuda
