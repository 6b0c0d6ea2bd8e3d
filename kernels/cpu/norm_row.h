// RMS norm of one row, shared by rms_norm, add_rms_norm and the norms of q and k.
#pragma once
#include <cmath>

#include "kernels/cpu/vector.h"

namespace penstock::cpu::PENSTOCK_ISA {

// 1 / sqrt(mean(x²) + eps), the squares summed in an order that depends on n alone.
inline float inverse_rms(const float* x, int64_t n, float eps) {
  constexpr int kChains = 4;
  Vec squares[kChains] = {};
  int64_t i = 0;
  for (; i + kChains * kLanes <= n; i += kChains * kLanes)
    for (int c = 0; c < kChains; c++) {
      Vec v = load(x + i + c * kLanes);
      squares[c] += v * v;
    }
  for (int c = 0; i < n; i += kLanes, c++) {
    Vec v = n - i >= kLanes ? load(x + i) : load_first(x + i, n - i);
    squares[c] += v * v;
  }
  float total = sum((squares[0] + squares[1]) + (squares[2] + squares[3]));
  return 1.0f / __builtin_sqrtf(total / static_cast<float>(n) + eps);
}

// out may be x.
inline void norm_row(float* out, const float* x, const float* weight, int64_t n, float eps) {
  float scale = inverse_rms(x, n, eps);
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) store(out + i, load(x + i) * scale * load(weight + i));
  for (; i < n; i++) out[i] = x[i] * scale * weight[i];
}

}  // namespace penstock::cpu::PENSTOCK_ISA
