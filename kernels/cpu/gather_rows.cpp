#include <cstring>

#include "kernels/cpu/ops.h"
#include "kernels/cpu/vector.h"

namespace penstock::cpu::PENSTOCK_ISA {

void gather_rows(ThreadPool& pool, const GatherRows& op) {
  int64_t rows = op.out.rows, hidden = op.x.cols;
  pool.parallel_for(rows, worthwhile_rows(hidden), [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; r++)
      std::memcpy(op.out.row<float>(r), op.x.row<float>(op.indices[r]), hidden * sizeof(float));
  });
}

}  // namespace penstock::cpu::PENSTOCK_ISA
