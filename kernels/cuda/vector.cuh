// Sixteen bytes at a time.
#pragma once
#include <cuda_bf16.h>

#include "kernels/cuda/warp.cuh"

namespace penstock::cuda {

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

}  // namespace penstock::cuda
