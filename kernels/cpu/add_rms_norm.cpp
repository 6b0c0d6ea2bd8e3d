#include "kernels/cpu/norm_row.h"
#include "kernels/cpu/ops.h"

namespace penstock::cpu::PENSTOCK_ISA {

// Each worker takes whole tokens; a token's sum is still in the nearest cache when it is normed.
void add_rms_norm(ThreadPool& pool, const AddRmsNorm& op) {
  int64_t tokens = op.x.rows, hidden = op.x.cols;
  pool.parallel_for(tokens, worthwhile_rows(hidden), [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; t++) {
      float* residual = op.residual.row<float>(t);
      const float* x = op.x.row<float>(t);
      int64_t i = 0;
      for (; i + kLanes <= hidden; i += kLanes) store(residual + i, load(residual + i) + load(x + i));
      for (; i < hidden; i++) residual[i] += x[i];
      norm_row(op.out.row<float>(t), residual, op.weight, hidden, op.eps);
    }
  });
}

}  // namespace penstock::cpu::PENSTOCK_ISA
