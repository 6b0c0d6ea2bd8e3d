#include "kernels/cpu/ops.h"
#include "kernels/cpu/vector.h"

namespace penstock::cpu::PENSTOCK_ISA {

static Vec silu_times(Vec gate, Vec up) { return gate / (1.0f + exp(-gate)) * up; }

// Each worker takes whole tokens. Bound by the exponential.
void silu_mul(ThreadPool& pool, const SiluMul& op) {
  int64_t tokens = op.out.rows, mlp = op.out.cols;
  pool.parallel_for(tokens, worthwhile_rows(mlp), [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; t++) {
      float* out = op.out.row<float>(t);
      const float *gate = op.gate_up.row<float>(t), *up = gate + mlp;
      int64_t i = 0;
      for (; i + kLanes <= mlp; i += kLanes) store(out + i, silu_times(load(gate + i), load(up + i)));
      int64_t rest = mlp - i;
      if (rest > 0) store_first(out + i, silu_times(load_first(gate + i, rest), load_first(up + i, rest)), rest);
    }
  });
}

}  // namespace penstock::cpu::PENSTOCK_ISA
