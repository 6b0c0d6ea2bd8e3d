#include "tests/kernels/op_fixture.h"

using namespace penstock;

namespace {

std::vector<float> run(Backend& backend, const std::vector<float>& gate_up, int64_t tokens,
                       Activation activation = Activation::silu) {
  int64_t mlp = static_cast<int64_t>(gate_up.size()) / tokens / 2;
  DeviceNumbers input(backend, gate_up), output(backend, gate_up.size() / 2);
  backend.gated_mul(
      {.out = output.matrix(tokens, mlp), .gate_up = input.matrix(tokens, 2 * mlp), .activation = activation});
  return output.download();
}

}  // namespace

TEST_CASE("gated_mul is gate / (1 + exp(-gate)) * up, and a row's bits are its own") {
  auto backend = test_backend();
  for (int64_t width : {1, 15, 16, 17, 1536, 2049})
    for (int64_t tokens : {1, 3, 127}) {
      const int64_t mlp = width_for(*backend, width);
      INFO("mlp " << mlp << ", tokens " << tokens);
      auto gate_up = rounded(*backend, normal_values(tokens * 2 * mlp, 1, 8));
      auto got = run(*backend, gate_up, tokens);
      std::vector<Expected> want(tokens * mlp);
      for (int64_t t = 0; t < tokens; ++t)
        for (int64_t i = 0; i < mlp; ++i) {
          double gate = gate_up[t * 2 * mlp + i], up = gate_up[t * 2 * mlp + mlp + i];
          want[t * mlp + i].add(gate / (1 + std::exp(-gate)) * up);
        }
      CHECK(difference(got, want, tolerance(*backend, 12 * kUlp)) == "");
      auto last = slice(gate_up, (tokens - 1) * 2 * mlp, 2 * mlp);
      CHECK(bit_difference(run(*backend, last, 1), slice(got, (tokens - 1) * mlp, mlp)) == "");
    }
}

TEST_CASE("gated_mul at the ends of the range") {
  auto backend = test_backend();
  std::vector<float> gates = rounded(*backend, {0.0f, -0.0f, 80.0f, 200.0f, 3e38f, -80.0f, -87.5f, -100.0f, -200.0f,
                                                -3e38f, 1e-30f, -1e-30f, 1.0f, -1.0f, 20.0f, -20.0f});
  std::vector<float> gate_up = gates;
  gate_up.insert(gate_up.end(), gates.size(), 0.5f);
  auto got = run(*backend, gate_up, 1);
  for (size_t i = 0; i < got.size(); ++i) {
    double gate = gates[i], want = gate / (1 + std::exp(-gate)) * 0.5;
    INFO("gate " << gate << ": " << got[i] << ", expected " << want);
    CHECK(std::abs(got[i] - want) <= tolerance(*backend, 12 * kUlp) * std::abs(want) + 1e-37);
  }
}

TEST_CASE("gated_mul: a NaN stays in its element", "[sanitize]") {
  auto backend = test_backend();
  for (Activation activation : {Activation::silu, Activation::gelu_tanh})
    for (size_t at : {3, 19}) {  // a gate, then an up
      std::vector<float> gate_up(2 * 16, 1.0f);
      gate_up[at] = kNan;
      auto got = run(*backend, gate_up, 1, activation);
      for (size_t i = 0; i < got.size(); ++i) CHECK(std::isnan(got[i]) == (i == 3));
    }
}

namespace {

double gelu_tanh(double x) {
  double u = std::sqrt(2 / 3.14159265358979323846) * (x + 0.044715 * x * x * x);
  return u < 0 ? x / (1 + std::exp(-2 * u)) : 0.5 * x * (1 + std::tanh(u));
}

}  // namespace

TEST_CASE("the test's own gelu is 0.5 x (1 + tanh(u)), also where that cancels") {
  for (double x : {-3.0, -1.0, -0.1, 0.1, 1.0, 3.0}) {
    double u = std::sqrt(2 / 3.14159265358979323846) * (x + 0.044715 * x * x * x);
    CHECK(std::abs(gelu_tanh(x) - 0.5 * x * (1 + std::tanh(u))) < 1e-14);
  }
}

TEST_CASE("gelu_tanh, small, middling and far out, in rows of any length") {
  auto backend = test_backend();
  for (float deviation : {1e-6f, 0.1f, 1.0f, 4.0f})
    for (int64_t width : {1, 15, 16, 17, 1003}) {
      const int64_t mlp = width_for(*backend, width);
      INFO("deviation " << deviation << ", mlp " << mlp);
      constexpr int64_t kTokens = 3;
      auto gate_up = rounded(*backend, normal_values(kTokens * 2 * mlp, 2, deviation));
      auto got = run(*backend, gate_up, kTokens, Activation::gelu_tanh);
      for (int64_t t = 0; t < kTokens; ++t)
        for (int64_t i = 0; i < mlp; ++i) {
          double gate = gate_up[t * 2 * mlp + i], up = gate_up[t * 2 * mlp + mlp + i], want = gelu_tanh(gate) * up;
          // The exponent 1.6 x + 0.07 x^3 is rounded a few times: a share of its size, where it is not cut off.
          double exponent = std::abs(1.6 * gate + 0.0714 * gate * gate * gate);
          double bound = tolerance(*backend, (12 + 4 * exponent) * kUlp) * std::abs(want) + 1e-36;
          CHECK(std::abs(got[t * mlp + i] - want) <= bound);
        }
    }
  std::vector<float> ends = rounded(*backend, {0.0f, -0.0f, 20.0f, 3e38f, -20.0f, -3e38f, 1e-30f, -1e-30f});
  std::vector<float> gate_up = ends;
  gate_up.insert(gate_up.end(), ends.size(), 0.5f);
  auto got = run(*backend, gate_up, 1, Activation::gelu_tanh);
  for (size_t i = 0; i < ends.size(); ++i) {
    INFO("gate " << ends[i] << ": " << got[i]);
    double want = std::abs(ends[i]) < 1 ? ends[i] / 4.0 : ends[i] > 0 ? ends[i] / 2.0 : 0.0;
    CHECK(std::abs(got[i] - want) <= tolerance(*backend, 4 * kUlp) * std::abs(want) + 1e-36);
  }
}
