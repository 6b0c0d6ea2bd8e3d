#include "kernels/cpu/norm_row.h"
#include "kernels/cpu/ops.h"

namespace penstock::cpu::PENSTOCK_ISA {

// Each worker takes whole tokens. Bound by bytes: one read and one write a value.
void rms_norm(ThreadPool& pool, const RmsNorm& op) {
  int64_t tokens = op.x.rows, hidden = op.x.cols;
  pool.parallel_for(tokens, worthwhile_rows(hidden), [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; t++) norm_row(op.out.row<float>(t), op.x.row<float>(t), op.weight, hidden, op.eps);
  });
}

}  // namespace penstock::cpu::PENSTOCK_ISA
