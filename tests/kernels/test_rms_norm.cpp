#include "tests/kernels/op_fixture.h"

using namespace penstock;

namespace {

constexpr float kEps = 1e-5f;

std::vector<Expected> reference(const std::vector<float>& x, const std::vector<float>& weight, int64_t hidden) {
  std::vector<Expected> out(x.size());
  for (size_t row = 0; row < x.size(); row += hidden) {
    double squares = 0;
    for (int64_t i = 0; i < hidden; ++i) squares += static_cast<double>(x[row + i]) * x[row + i];
    double scale = 1 / std::sqrt(squares / static_cast<double>(hidden) + kEps);
    for (int64_t i = 0; i < hidden; ++i) out[row + i].add(x[row + i] * scale * weight[i]);
  }
  return out;
}

std::vector<float> run(Backend& backend, const std::vector<float>& x, const std::vector<float>& weight, bool in_place) {
  int64_t hidden = static_cast<int64_t>(weight.size()), tokens = static_cast<int64_t>(x.size()) / hidden;
  DeviceArray<float> input(backend, x), scale(backend, weight), output(backend, x.size());
  Tensor x_view = input.matrix(tokens, hidden), out_view = in_place ? x_view : output.matrix(tokens, hidden);
  backend.rms_norm({.out = out_view, .x = x_view, .weight = scale.data(), .eps = kEps});
  return in_place ? input.download() : output.download();
}

}  // namespace

TEST_CASE("rms_norm is the norm, in place or not, and a row's bits are its own") {
  auto backend = test_backend();
  for (int64_t hidden : {1, 7, 16, 63, 64, 100, 576, 2049})
    for (int64_t tokens : {1, 3, 127}) {
      INFO("hidden " << hidden << ", tokens " << tokens);
      auto x = normal_values(tokens * hidden, 1, 3), weight = normal_values(hidden, 2);
      auto got = run(*backend, x, weight, false);
      // The sum of squares is off by a share of an ulp a term in the worst case; a lane adds few of them.
      CHECK(difference(got, reference(x, weight, hidden), (8 + 0.05 * static_cast<double>(hidden)) * kUlp) == "");
      CHECK(bit_difference(run(*backend, x, weight, true), got) == "");
      auto last = slice(x, (tokens - 1) * hidden, hidden);
      CHECK(bit_difference(run(*backend, last, weight, false), slice(got, (tokens - 1) * hidden, hidden)) == "");
    }
}

TEST_CASE("rms_norm keeps one token's NaN away from the others") {
  auto backend = test_backend();
  auto x = normal_values(40 * 576, 3), weight = normal_values(576, 4);
  auto clean = run(*backend, x, weight, false);
  x[17 * 576 + 5] = kNan;
  auto got = run(*backend, x, weight, false);
  CHECK(bit_difference(slice(got, 0, 17 * 576), slice(clean, 0, 17 * 576)) == "");
  CHECK(bit_difference(slice(got, 18 * 576, 22 * 576), slice(clean, 18 * 576, 22 * 576)) == "");
  CHECK(std::isnan(got[17 * 576]));
}

TEST_CASE("add_rms_norm is an addition and then rms_norm, bit for bit") {
  auto backend = test_backend();
  for (int64_t hidden : {1, 33, 576})
    for (int64_t tokens : {1, 3, 127})
      for (bool in_place : {false, true}) {
        INFO("hidden " << hidden << ", tokens " << tokens << ", in place " << in_place);
        auto x = normal_values(tokens * hidden, 5), before = normal_values(tokens * hidden, 6);
        auto weight = normal_values(hidden, 7);
        DeviceArray<float> input(*backend, x), residual(*backend, before), scale(*backend, weight);
        DeviceArray<float> output(*backend, x.size());
        backend->add_rms_norm({.out = (in_place ? input : output).matrix(tokens, hidden),
                               .residual = residual.matrix(tokens, hidden),
                               .x = input.matrix(tokens, hidden),
                               .weight = scale.data(),
                               .eps = kEps});
        std::vector<float> sum(x.size());
        for (size_t i = 0; i < x.size(); ++i) sum[i] = before[i] + x[i];
        CHECK(bit_difference(residual.download(), sum) == "");
        CHECK(bit_difference((in_place ? input : output).download(), run(*backend, sum, weight, false)) == "");
      }
}
