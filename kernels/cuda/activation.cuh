// The gates of feed-forward layers.
#pragma once
#include "kernels/backend.h"

namespace penstock::cuda {

__device__ inline float activate(float x, Activation activation) {
  if (activation == Activation::silu) return x / (1 + __expf(-x));
  constexpr float kSqrt2OverPi = 0.7978845608f;
  return 0.5f * x * (1 + tanhf(kSqrt2OverPi * (x + 0.044715f * x * x * x)));
}

}  // namespace penstock::cuda
