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
  DeviceNumbers input(backend, x), output(backend, x.size());
  DeviceArray<float> scale(backend, weight);
  Tensor x_view = input.matrix(tokens, hidden), out_view = in_place ? x_view : output.matrix(tokens, hidden);
  backend.rms_norm({.out = out_view, .x = x_view, .weight = scale.data(), .eps = kEps});
  return in_place ? input.download() : output.download();
}

// The sum of squares is off by a share of an ulp a term in the worst case; a lane adds few of them.
double norm_tolerance(const Backend& backend, int64_t hidden) {
  return tolerance(backend, (8 + 0.05 * static_cast<double>(hidden)) * kUlp);
}

}  // namespace

TEST_CASE("rms_norm is the norm, in place or not, and a row's bits are its own") {
  auto backend = test_backend();
  for (int64_t width : {1, 7, 16, 63, 64, 100, 576, 2049, 4100, 8200, 16390})
    for (int64_t tokens : {1, 3, 127}) {
      if (width > 2049 && tokens > 3) continue;  // wide rows are for the paths that wide rows take
      const int64_t hidden = width_for(*backend, width);
      INFO("hidden " << hidden << ", tokens " << tokens);
      auto x = rounded(*backend, normal_values(tokens * hidden, 1, 3)), weight = normal_values(hidden, 2);
      auto got = run(*backend, x, weight, false);
      CHECK(difference(got, reference(x, weight, hidden), norm_tolerance(*backend, hidden)) == "");
      CHECK(bit_difference(run(*backend, x, weight, true), got) == "");
      auto last = slice(x, (tokens - 1) * hidden, hidden);
      CHECK(bit_difference(run(*backend, last, weight, false), slice(got, (tokens - 1) * hidden, hidden)) == "");
    }
}

TEST_CASE("rms_norm keeps one token's NaN away from the others", "[sanitize]") {
  auto backend = test_backend();
  auto x = rounded(*backend, normal_values(40 * 576, 3)), weight = normal_values(576, 4);
  auto clean = run(*backend, x, weight, false);
  x[17 * 576 + 5] = kNan;
  auto got = run(*backend, x, weight, false);
  CHECK(bit_difference(slice(got, 0, 17 * 576), slice(clean, 0, 17 * 576)) == "");
  CHECK(bit_difference(slice(got, 18 * 576, 22 * 576), slice(clean, 18 * 576, 22 * 576)) == "");
  CHECK(std::isnan(got[17 * 576]));
}

TEST_CASE("add_rms_norm is an addition, bit for bit, and then rms_norm", "[sanitize]") {
  auto backend = test_backend();
  for (int64_t width : {1, 33, 576, 4100})
    for (int64_t tokens : {1, 3, 127})
      for (bool in_place : {false, true}) {
        const int64_t hidden = width_for(*backend, width);
        INFO("hidden " << hidden << ", tokens " << tokens << ", in place " << in_place);
        auto x = rounded(*backend, normal_values(tokens * hidden, 5));
        auto before = rounded(*backend, normal_values(tokens * hidden, 6));
        auto weight = normal_values(hidden, 7);
        DeviceNumbers input(*backend, x), residual(*backend, before), output(*backend, x.size());
        DeviceArray<float> scale(*backend, weight);
        backend->add_rms_norm({.out = (in_place ? input : output).matrix(tokens, hidden),
                               .residual = residual.matrix(tokens, hidden),
                               .x = input.matrix(tokens, hidden),
                               .weight = scale.data(),
                               .eps = kEps});
        std::vector<float> sum(x.size());
        for (size_t i = 0; i < x.size(); ++i) sum[i] = before[i] + x[i];
        sum = rounded(*backend, sum);  // what is normed is what is kept
        CHECK(bit_difference(residual.download(), sum) == "");
        auto got = (in_place ? input : output).download();
        CHECK(difference(got, reference(sum, weight, hidden), norm_tolerance(*backend, hidden)) == "");
        // In f32 it does not matter to a bit which of the two verbs is used.
        if (!has_bf16_activations(*backend)) CHECK(bit_difference(got, run(*backend, sum, weight, false)) == "");
      }
}
