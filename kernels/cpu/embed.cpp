// Each token copies its row out of the packed table: one unit from every step of the row's panel. Bound by the cache
// lines that it touches, one a step.
#include "kernels/cpu/ops.h"
#include "kernels/cpu/packed_weight.h"

namespace penstock::cpu::PENSTOCK_ISA {
namespace {

void read_row(const Weight& table, int64_t row, float* out) {
  const int64_t hidden = table.in_features, steps = packed_steps(hidden, table.dtype);
  const uint32_t* units =
      table.storage.as<uint32_t>() + row / kPanelColumns * steps * kPanelColumns + row % kPanelColumns;
  if (table.dtype == DType::f32) {
    for (int64_t k = 0; k < hidden; ++k) std::memcpy(out + k, units + k * kPanelColumns, 4);
    return;
  }
  for (int64_t k = 0; k < hidden; ++k) {
    uint32_t pair = units[k / 2 * kPanelColumns];
    uint32_t bits = k % 2 ? pair & 0xFFFF0000u : pair << 16;
    std::memcpy(out + k, &bits, 4);
  }
}

}  // namespace

void embed(ThreadPool& pool, const Embed& op) {
  pool.parallel_for(op.out.rows, 4, [&](int64_t begin, int64_t end) {
    for (int64_t token = begin; token < end; ++token) {
      int64_t id = op.step.input_ids[token];
      if (id < 0) id = op.last_tokens[~id];
      int64_t row = id - op.first_id;
      float* out = op.out.row<float>(token);
      if (row >= 0 && row < op.table.out_features) {
        read_row(op.table, row, out);
        if (op.scale != 1.0f)
          for (int64_t k = 0; k < op.out.cols; ++k) out[k] *= op.scale;
      } else {
        std::memset(out, 0, op.out.cols * sizeof(float));
      }
    }
  });
}

}  // namespace penstock::cpu::PENSTOCK_ISA
