// Rows of a checkpoint's matrix on the host, before a backend stores them its own way.
#pragma once
#include "kernels/tensor.h"

namespace penstock {

struct HostMatrix {
  const void* data = nullptr;
  DType dtype = DType::bf16;  // f32, f16 or bf16, as the file has it
  int64_t rows = 0, cols = 0;
  int64_t row_stride = 0;  // elements

  // The values as bf16, rounded to nearest even: themselves where they are bf16 already, else in `out`, in rows of
  // `cols` without gaps. `out` may be `data`: nothing is overwritten before it has been read.
  HostMatrix narrowed(uint16_t* out) const {
    if (dtype == DType::bf16) return *this;
    uint16_t* to = out;
    for (int64_t r = 0; r < rows; ++r)
      for (int64_t c = 0; c < cols; ++c) *to++ = f32_to_bf16(element_to_f32(data, dtype, r * row_stride + c));
    return {out, DType::bf16, rows, cols, cols};
  }
};

}  // namespace penstock
