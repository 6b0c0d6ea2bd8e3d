// How a kernel adds what the other ranks have of a tensor to what this one has.
#pragma once
#include "kernels/cuda/ops.h"
#include "kernels/cuda/vector.cuh"

namespace penstock::cuda {

struct OtherRows {
  const __nv_bfloat16* x;  // as in OtherParts
  int64_t stride, tokens;
  int rank, ranks;

  static OtherRows of(const OtherParts& others) {
    return {.x = static_cast<const __nv_bfloat16*>(others.x.data),
            .stride = others.x.stride,
            .tokens = others.x.rows / (others.ranks - 1),
            .rank = others.rank,
            .ranks = others.ranks};
  }

  // `own`: this rank's, at this token from column `col` on. In rank order, and rounded.
  __device__ void add_to(float (&own)[Bf16x8::kSize], int64_t token, int64_t col) const {
    float sum[Bf16x8::kSize] = {};
    for (int r = 0; r < ranks; r++) {
      if (r == rank) {
#pragma unroll
        for (int i = 0; i < Bf16x8::kSize; i++) sum[i] += own[i];
      } else {
        const int64_t row = (r < rank ? r : r - 1) * tokens + token;
        add8(*reinterpret_cast<const uint4*>(x + row * stride + col), sum);
      }
    }
    Bf16x8::from(sum).to(own);
  }
};

}  // namespace penstock::cuda
