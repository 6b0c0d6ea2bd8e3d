#include "kernels/cpu/ops.h"
#include "kernels/cpu/vector.h"

namespace penstock::cpu::PENSTOCK_ISA {
namespace {

// Both activations are x / (1 + exp(-s x)), with s = 1 or s(x). gelu_tanh is defined by 1 + tanh(u), which cancels for
// negative u; (1 + tanh(u)) / 2 = 1 / (1 + exp(-2 u)) does not.
struct Silu {
  Vec operator()(Vec x) const { return x / (1.0f + exp(-x)); }
};

struct GeluTanh {
  Vec operator()(Vec x) const {
    constexpr float kTwiceRootOf2OverPi = 1.5957691216057308f;
    return x / (1.0f + exp(-kTwiceRootOf2OverPi * (x + 0.044715f * x * x * x)));
  }
};

template <class Activate>
void multiply_row(float* out, const float* gate, const float* up, int64_t mlp, Activate activate) {
  int64_t i = 0;
  for (; i + kLanes <= mlp; i += kLanes) store(out + i, activate(load(gate + i)) * load(up + i));
  int64_t rest = mlp - i;
  if (rest > 0) store_first(out + i, activate(load_first(gate + i, rest)) * load_first(up + i, rest), rest);
}

}  // namespace

// Each worker takes whole tokens. Bound by the exponential.
void gated_mul(ThreadPool& pool, const GatedMul& op) {
  int64_t tokens = op.out.rows, mlp = op.out.cols;
  pool.parallel_for(tokens, worthwhile_rows(mlp), [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; t++) {
      float* out = op.out.row<float>(t);
      const float *gate = op.gate_up.row<float>(t), *up = gate + mlp;
      switch (op.activation) {
        case Activation::silu:
          multiply_row(out, gate, up, mlp, Silu());
          break;
        case Activation::gelu_tanh:
          multiply_row(out, gate, up, mlp, GeluTanh());
          break;
      }
    }
  });
}

}  // namespace penstock::cpu::PENSTOCK_ISA
