// The gates of feed-forward layers.
#pragma once
#include "kernels/backend.h"

namespace penstock::cuda {

__device__ inline float activate(float x, Activation activation) {
  if (activation == Activation::silu) return x / (1 + __expf(-x));
  // x (1 + tanh(u)) / 2 = x / (1 + exp(-2 u)), which does not cancel where tanh is near -1.
  constexpr float kTwoSqrt2OverPi = 1.5957691216f;
  return x / (1 + __expf(-kTwoSqrt2OverPi * (x + 0.044715f * x * x * x)));
}

}  // namespace penstock::cuda
