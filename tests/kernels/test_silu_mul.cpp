#include "tests/kernels/op_fixture.h"

using namespace penstock;

namespace {

std::vector<float> run(Backend& backend, const std::vector<float>& gate_up, int64_t tokens) {
  int64_t mlp = static_cast<int64_t>(gate_up.size()) / tokens / 2;
  DeviceArray<float> input(backend, gate_up), output(backend, gate_up.size() / 2);
  backend.silu_mul({.out = output.matrix(tokens, mlp), .gate_up = input.matrix(tokens, 2 * mlp)});
  return output.download();
}

}  // namespace

TEST_CASE("silu_mul is gate / (1 + exp(-gate)) * up, and a row's bits are its own") {
  auto backend = test_backend();
  for (int64_t mlp : {1, 15, 16, 17, 1536})
    for (int64_t tokens : {1, 3, 127}) {
      INFO("mlp " << mlp << ", tokens " << tokens);
      auto gate_up = normal_values(tokens * 2 * mlp, 1, 8);
      auto got = run(*backend, gate_up, tokens);
      std::vector<Expected> want(tokens * mlp);
      for (int64_t t = 0; t < tokens; ++t)
        for (int64_t i = 0; i < mlp; ++i) {
          double gate = gate_up[t * 2 * mlp + i], up = gate_up[t * 2 * mlp + mlp + i];
          want[t * mlp + i].add(gate / (1 + std::exp(-gate)) * up);
        }
      CHECK(difference(got, want, 12 * kUlp) == "");
      auto last = slice(gate_up, (tokens - 1) * 2 * mlp, 2 * mlp);
      CHECK(bit_difference(run(*backend, last, 1), slice(got, (tokens - 1) * mlp, mlp)) == "");
    }
}

TEST_CASE("silu_mul at the ends of the range") {
  auto backend = test_backend();
  std::vector<float> gates = {0.0f, -0.0f, 80.0f, 200.0f, 3e38f, -80.0f, -87.5f, -100.0f, -200.0f, -3e38f, 1e-30f};
  std::vector<float> gate_up = gates;
  gate_up.insert(gate_up.end(), gates.size(), 0.5f);
  auto got = run(*backend, gate_up, 1);
  for (size_t i = 0; i < got.size(); ++i) {
    double gate = gates[i], want = gate / (1 + std::exp(-gate)) * 0.5;
    INFO("gate " << gate << ": " << got[i] << ", expected " << want);
    CHECK(std::abs(got[i] - want) <= 12 * kUlp * std::abs(want) + 1e-37);
  }
  CHECK(std::isnan(run(*backend, {kNan, 1.0f}, 1)[0]));
  CHECK(std::isnan(run(*backend, {1.0f, kNan}, 1)[0]));
}
