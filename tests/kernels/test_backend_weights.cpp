// embed and matmul as a backend runs them: weights go through allocate_weight and store_weight. (test_matmul.cpp and
// test_embed.cpp go through the CPU's instruction sets.)
#include "tests/kernels/op_fixture.h"

using namespace penstock;

namespace {

// Stored in parts of several dtypes, as a checkpoint's tensors may be: all values are bf16's.
Weight stored_weight(Backend& backend, const std::vector<float>& values, int64_t out_features, int64_t in_features) {
  Weight weight = backend.allocate_weight(out_features, in_features, DType::bf16);
  const int64_t half = out_features / 2;
  std::vector<uint16_t> bits(values.size());
  std::ranges::transform(values, bits.begin(), f32_to_bf16);
  if (half > 0) backend.store_weight(weight, 0, {bits.data(), DType::bf16, half, in_features, in_features});
  backend.store_weight(weight, half,
                       {&values[half * in_features], DType::f32, out_features - half, in_features, in_features});
  return weight;
}

struct Product {
  int64_t rows, out_features, in_features, x_stride, out_stride;
  DType out_dtype;
  std::vector<float> x, w, bias;
  std::vector<Expected> sums;  // [rows, out_stride]
  Weight weight;

  Product(Backend& backend, int64_t rows, int64_t out_features, int64_t in_features, DType out_dtype)
      : rows(rows),
        out_features(out_features),
        in_features(in_features),
        x_stride((in_features + 15) / 8 * 8),
        out_stride((out_features + 15) / 8 * 8),
        out_dtype(out_dtype),
        x(rounded(backend, normal_values(rows * x_stride, static_cast<uint32_t>(rows)))),
        w(rounded(DType::bf16, normal_values(out_features * in_features, static_cast<uint32_t>(in_features)))),
        bias(normal_values(out_features, 3)),
        weight(stored_weight(backend, w, out_features, in_features)) {
    for (int64_t row = 0; row < rows; ++row)
      std::fill(x.begin() + row * x_stride + in_features, x.begin() + (row + 1) * x_stride, kNan);
  }

  // x may have been changed since. [rows, out_stride]; `before` is what out held.
  std::vector<float> run(Backend& backend, bool with_bias, bool accumulate, const std::vector<float>& before) const {
    DeviceNumbers in(backend, x), out(backend, out_dtype, before);
    DeviceArray<float> device_bias(backend, bias);
    backend.matmul({.out = out.matrix(rows, out_features, out_stride),
                    .x = in.matrix(rows, in_features, x_stride),
                    .weight = weight,
                    .bias = with_bias ? device_bias.data() : nullptr,
                    .accumulate = accumulate});
    return out.download();
  }

  // A bias and what out held may be added one after the other, and out rounded each time.
  std::string check(const std::vector<float>& got, bool with_bias, bool accumulate, const std::vector<float>& before) {
    if (sums.empty()) sums = sums_in_double();
    const double rounds = out_dtype == DType::bf16 ? kBf16Roundoff : 0;
    std::vector<Expected> want = sums;
    for (int64_t row = 0; row < rows; ++row)
      for (int64_t column = 0; column < out_stride; ++column) {
        const int64_t at = row * out_stride + column;
        if (column >= out_features) {  // not the product's
          if (got[at] != before[at]) return "what lies between rows was written to";
          want[at].add(before[at]);
          continue;
        }
        // So may the product be, before anything is added to it.
        if (with_bias || accumulate) want[at].slack += rounds * std::abs(want[at].value);
        for (double added : {with_bias ? double{bias[column]} : 0, accumulate ? double{before[at]} : 0})
          want[at].add(added), want[at].slack += rounds * std::abs(added);
      }
    return difference(got, want, rounding(), rounds);
  }

 private:
  std::vector<Expected> sums_in_double() const {
    std::vector<Expected> result(rows * out_stride);
    for (int64_t row = 0; row < rows; ++row)
      for (int64_t column = 0; column < out_features; ++column)
        for (int64_t k = 0; k < in_features; ++k)
          result[row * out_stride + column].add(double{x[row * x_stride + k]} * w[column * in_features + k]);
    return result;
  }

  // One chain of f32 sums rounds in_features times by half an ulp. Tensor cores add eight products or more at a time,
  // aligned to the largest of them, and cut off: two ulps of the magnitude, and as much where partial sums meet.
  double rounding() const {
    const auto k = static_cast<double>(in_features);
    return std::max((k + 2) * kUlp, (k / 8 + 8) * 4 * kUlp);
  }
};

struct Shape {
  int64_t out_features, in_features;
};

}  // namespace

TEST_CASE("a backend's matmul is the sum in double, whatever the rows, the bias and what out holds") {
  auto backend = test_backend();
  std::vector<DType> out_dtypes = {backend->activation_dtype()};
  if (has_bf16_activations(*backend)) out_dtypes.push_back(DType::f32);  // the head's logits
  for (Shape shape : {Shape{1, 8}, {33, 64}, {577, 72}, {64, 576}, {37, 4104}})
    for (int64_t rows : {1, 2, 3, 4, 5, 6, 7, 8, 9, 16, 17, 64, 127, 513})
      for (DType out_dtype : out_dtypes) {
        Product product(*backend, rows, shape.out_features, shape.in_features, out_dtype);
        std::vector<float> before = rounded(out_dtype, normal_values(rows * product.out_stride, 5));
        for (auto [with_bias, accumulate] : {std::pair{false, false}, {true, false}, {false, true}, {true, true}}) {
          INFO(rows << " x " << shape.out_features << " x " << shape.in_features << " to " << dtype_name(out_dtype)
                    << ", bias " << with_bias << ", accumulate " << accumulate);
          auto got = product.run(*backend, with_bias, accumulate, before);
          REQUIRE(product.check(got, with_bias, accumulate, before) == "");
        }
      }
}

TEST_CASE("a backend's matmul of few rows and more out features than a GPU takes at once") {
  auto backend = test_backend();
  for (int64_t rows : {1, 5, 8}) {
    INFO(rows << " rows");
    Product product(*backend, rows, 2403, 2056, backend->activation_dtype());
    std::vector<float> before = rounded(*backend, normal_values(rows * product.out_stride, 5));
    auto got = product.run(*backend, true, true, before);
    REQUIRE(product.check(got, true, true, before) == "");
  }
}

TEST_CASE("a backend's matmul while it looks for the fastest way, and by what it found") {
  auto backend = test_backend();
  for (int64_t rows : {9, 65, 1025}) {
    INFO(rows << " rows");
    Product product(*backend, rows, 64, 72, backend->activation_dtype());
    std::vector<float> before = rounded(*backend, normal_values(rows * product.out_stride, 5));
    std::vector<float> found;
    for (bool autotune : {false, true, false}) {
      backend->set_autotune(autotune);
      auto got = product.run(*backend, true, false, before);
      REQUIRE(product.check(got, true, false, before) == "");
      if (!found.empty()) CHECK(got == found);
      if (autotune) found = got;
    }
  }
}

TEST_CASE("a backend's matmul, small", "[sanitize]") {
  auto backend = test_backend();
  for (int64_t rows : {1, 3, 8, 9, 17}) {
    Product product(*backend, rows, 33, 72, backend->activation_dtype());
    std::vector<float> before = rounded(*backend, normal_values(rows * product.out_stride, 5));
    REQUIRE(product.check(product.run(*backend, true, false, before), true, false, before) == "");
  }
}

TEST_CASE("a backend's matmul keeps one row's NaN away from the others", "[sanitize]") {
  auto backend = test_backend();
  for (int64_t rows : {3, 8, 9, 40}) {
    Product product(*backend, rows, 33, 64, backend->activation_dtype());
    const std::vector<float> before(rows * product.out_stride, 0.0f);
    product.x[2 * product.x_stride + 63] = kNan;
    auto got = product.run(*backend, false, false, before);
    for (int64_t row = 0; row < rows; ++row)
      for (int64_t column = 0; column < product.out_features; ++column)
        REQUIRE(std::isnan(got[row * product.out_stride + column]) == (row == 2));
  }
}

TEST_CASE("a backend's embed gives the ids' rows, scaled; a NaN in one row reaches its own tokens only", "[sanitize]") {
  auto backend = test_backend();
  constexpr int64_t kVocab = 101, kFirst = 1000;
  const int64_t hidden = width_for(*backend, 71);
  std::vector<float> table = rounded(DType::bf16, normal_values(kVocab * hidden, 1));
  std::fill_n(table.begin() + 13 * hidden, hidden, kNan);
  Weight weight = stored_weight(*backend, table, kVocab, hidden);
  const std::vector<int32_t> last_tokens = {1100, 5, 1013, 1001};
  // The first, the last, beyond either end, the one that is NaN, and what slots 0 to 3 drew.
  std::vector<int32_t> ids = {1000, 1100, 999, 1101, 1013, ~0, ~1, ~2, ~3};
  for (int32_t id = 0; id < 118; ++id) ids.push_back(1000 + id * 7 % 101);
  for (float scale : {1.0f, 0.5f, static_cast<float>(std::sqrt(2304.0))}) {
    DeviceArray<int32_t> device_ids(*backend, ids), device_last(*backend, last_tokens);
    const auto tokens = static_cast<int64_t>(ids.size());
    DeviceNumbers out(*backend, std::vector<float>(tokens * hidden, kNan));
    backend->embed({.out = out.matrix(tokens, hidden),
                    .table = weight,
                    .first_id = kFirst,
                    .last_tokens = device_last.data(),
                    .step = {.tokens = tokens, .input_ids = device_ids.data()},
                    .scale = scale});
    const float factor = rounded(*backend, {scale})[0];
    std::vector<float> want;
    for (int32_t id : ids) {
      const int64_t row = (id < 0 ? last_tokens[~id] : id) - kFirst;
      for (int64_t i = 0; i < hidden; ++i)
        want.push_back(row < 0 || row >= kVocab ? 0.0f : table[row * hidden + i] * factor);
    }
    want = rounded(*backend, want);
    auto got = out.download();
    for (size_t i = 0; i < got.size(); ++i) REQUIRE((std::isnan(want[i]) ? std::isnan(got[i]) : got[i] == want[i]));
  }
}
