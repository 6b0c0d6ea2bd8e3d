// The layout of a packed weight [out_features, in_features], made for matmul's inner loop.
//
// Panels of 32 output columns, one after the other; in a panel one line of 32 units for each step along K:
//   f32   [panel][K][32]           a unit is one weight
//   bf16  [panel][(K+1)/2][32][2]  a unit is the weights of k and k + 1, the even k in the low half
// A unit has 32 bits in both cases. Pairs are what vdpbf16ps multiplies, and one shift or one mask widens half of them
// to f32 exactly. What pads out_features to whole panels, and an odd K to whole pairs, is zero.
#pragma once
#include "kernels/backend.h"

namespace penstock::cpu {

constexpr int64_t kPanelColumns = 32;
constexpr int64_t kStepBytes = kPanelColumns * 4;

constexpr int64_t packed_steps(int64_t in_features, DType dtype) {
  return dtype == DType::f32 ? in_features : (in_features + 1) / 2;
}
constexpr int64_t packed_panels(int64_t out_features) { return (out_features + kPanelColumns - 1) / kPanelColumns; }

// dtype: f32 or bf16.
int64_t packed_bytes(int64_t out_features, int64_t in_features, DType dtype);

// Stores the rows [first_row, first_row + part.rows) of the matrix, rounded to nearest even where bf16 is stored.
// Several threads may store different rows at once. The call that stores the last row also zeroes the padding rows.
void pack_rows(Weight& weight, int64_t first_row, const HostMatrix& part);

}  // namespace penstock::cpu
