#include "kernels/cpu/ops.h"
#include "kernels/cpu/vector.h"

namespace penstock::cpu::PENSTOCK_ISA {

// Each worker takes whole rows. Bound by the exponential in tanh.
void soft_cap(ThreadPool& pool, const SoftCap& op) {
  int64_t cols = op.x.cols;
  pool.parallel_for(op.x.rows, worthwhile_rows(cols), [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; r++) {
      float* x = op.x.row<float>(r);
      int64_t i = 0;
      for (; i + kLanes <= cols; i += kLanes) store(x + i, op.cap * tanh(load(x + i) / op.cap));
      if (i < cols) store_first(x + i, op.cap * tanh(load_first(x + i, cols - i) / op.cap), cols - i);
    }
  });
}

}  // namespace penstock::cpu::PENSTOCK_ISA
