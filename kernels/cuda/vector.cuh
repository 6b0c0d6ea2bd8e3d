// Sixteen bytes at a time, and sums over a block.
#pragma once
#include <cuda_bf16.h>

#include <cstdint>

namespace penstock::cuda {

constexpr int kWarp = 32;

// Eight bf16 as they lie in memory, 16-byte aligned.
struct alignas(16) Bf16x8 {
  static constexpr int kSize = 8;
  __nv_bfloat162 pair[4];

  __device__ void to(float (&out)[kSize]) const {
#pragma unroll
    for (int i = 0; i < 4; i++) {
      float2 wide = __bfloat1622float2(pair[i]);
      out[2 * i] = wide.x;
      out[2 * i + 1] = wide.y;
    }
  }
  __device__ static Bf16x8 from(const float (&x)[kSize]) {
    Bf16x8 packed;
#pragma unroll
    for (int i = 0; i < 4; i++) packed.pair[i] = __floats2bfloat162_rn(x[2 * i], x[2 * i + 1]);
    return packed;
  }
};

__device__ inline Bf16x8 load8(const __nv_bfloat16* at) {
  uint4 bits = *reinterpret_cast<const uint4*>(at);
  return *reinterpret_cast<Bf16x8*>(&bits);
}
__device__ inline void store8(__nv_bfloat16* at, const Bf16x8& x) {
  *reinterpret_cast<uint4*>(at) = *reinterpret_cast<const uint4*>(&x);
}

// Of f32 that no kernel writes.
__device__ inline void load8(const float* at, float (&out)[Bf16x8::kSize]) {
  const float4 low = __ldg(reinterpret_cast<const float4*>(at)), high = __ldg(reinterpret_cast<const float4*>(at) + 1);
  out[0] = low.x, out[1] = low.y, out[2] = low.z, out[3] = low.w;
  out[4] = high.x, out[5] = high.y, out[6] = high.z, out[7] = high.w;
}

__device__ inline void add8(const uint4& bits, float (&sum)[Bf16x8::kSize]) {
  float x[Bf16x8::kSize];
  reinterpret_cast<const Bf16x8&>(bits).to(x);
#pragma unroll
  for (int i = 0; i < Bf16x8::kSize; i++) sum[i] += x[i];
}

__device__ inline uint32_t shared_address(const void* pointer) {
  return static_cast<uint32_t>(__cvta_generic_to_shared(pointer));
}

__device__ inline float exp2_approximate(float x) {  // 2 ulp; 0 for -inf
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}
constexpr float kLog2E = 1.4426950408889634f;
__device__ inline float exp_approximate(float x) { return exp2_approximate(x * kLog2E); }

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
