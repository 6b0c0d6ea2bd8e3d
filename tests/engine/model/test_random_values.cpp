#include "engine/model/random_values.h"

#include <cmath>
#include <vector>

#include "kernels/tensor.h"
#include "tests/support/catch.h"

namespace penstock {
namespace {

std::vector<uint16_t> values(const char* tensor, int64_t first, size_t count) {
  std::vector<uint16_t> all(count);
  RandomValues(tensor, 0.5f).fill(first, all);
  return all;
}

TEST_CASE("A random value depends on its tensor and its index, not on the pieces that are asked for") {
  const std::vector<uint16_t> whole = values("a", 0, 1000);
  for (int64_t first : {0, 1, 2, 3, 4, 5, 997})
    for (size_t count : {0, 1, 2, 3, 4, 7})
      if (first + static_cast<int64_t>(count) <= 1000)
        CHECK(values("a", first, count) ==
              std::vector<uint16_t>(whole.begin() + first, whole.begin() + first + static_cast<int64_t>(count)));
  CHECK(values("b", 0, 1000) != whole);
}

TEST_CASE("Random values have a normal distribution's mean, deviation, tails and independence") {
  constexpr int64_t kCount = 1 << 20;
  double sum = 0, squares = 0, product = 0, last = 0;
  int64_t beyond = 0;
  for (uint16_t bits : values("model.layers.0.mlp.up_proj.weight", 3, kCount)) {
    const double x = bf16_to_f32(bits) / 0.5;
    sum += x, squares += x * x, product += x * last, beyond += std::abs(x) > 2;
    last = x;
  }
  const double error = 5 / std::sqrt(static_cast<double>(kCount));  // five standard errors of a mean of N(0, 1)
  CHECK(std::abs(sum / kCount) < error);
  CHECK(std::abs(squares / kCount - 1) < 1.5 * error + 0.004);  // and what bf16 and the quantiles round
  CHECK(std::abs(product / kCount) < error);
  CHECK(std::abs(static_cast<double>(beyond) / kCount - 0.0455) < 0.0015);
}

}  // namespace
}  // namespace penstock
