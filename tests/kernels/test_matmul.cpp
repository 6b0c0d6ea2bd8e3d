// Every instruction set that this machine has, against a loop in double.
#include <random>
#include <vector>

#include "kernels/cpu/host_memory.h"
#include "kernels/cpu/ops.h"
#include "kernels/cpu/packed_weight.h"
#include "tests/support/catch.h"
#include "tests/support/compare.h"

using namespace penstock;
using cpu::Precision;

namespace {

constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();
constexpr float kUnused = 1e30f;  // what lies between rows

// A multiplication with its operands in plain form. Both matrices have strides beyond their columns.
struct Problem {
  int64_t rows, out_features, in_features, x_stride, out_stride;
  std::vector<float> x, w, bias, out;
  Weight weight;

  Problem(int64_t rows, int64_t out_features, int64_t in_features, DType dtype)
      : rows(rows),
        out_features(out_features),
        in_features(in_features),
        x_stride(in_features + 3),
        out_stride(out_features + 5),
        x(rows * x_stride, kNaN),
        w(out_features * in_features),
        bias(out_features),
        out(rows * out_stride, kUnused) {
    std::mt19937 random(static_cast<uint32_t>(rows * 31 + out_features * 7 + in_features));
    std::normal_distribution<float> normal;
    for (int64_t row = 0; row < rows; ++row)
      for (int64_t k = 0; k < in_features; ++k) x[row * x_stride + k] = normal(random);
    for (float& value : w) value = dtype == DType::f32 ? normal(random) : bf16_to_f32(f32_to_bf16(normal(random)));
    for (float& value : bias) value = normal(random);
    int64_t bytes = cpu::packed_bytes(out_features, in_features, dtype);
    weight = {cpu::allocate_host(bytes), dtype, out_features, in_features};
    std::memset(weight.storage.data(), 0xFF, bytes);
    cpu::pack_rows(weight, 0, {w.data(), DType::f32, out_features, in_features, in_features});
  }

  Matmul op(int64_t first_row, int64_t count) {
    return {.out = {out.data() + first_row * out_stride, DType::f32, count, out_features, out_stride},
            .x = {x.data() + first_row * x_stride, DType::f32, count, in_features, x_stride},
            .weight = weight};
  }

  std::vector<Expected> expected(Precision precision, bool with_bias, const std::vector<float>* added) const {
    std::vector<Expected> result;
    bool rounds = precision == Precision::bf16 && weight.dtype == DType::bf16;
    for (int64_t row = 0; row < rows; ++row)
      for (int64_t column = 0; column < out_features; ++column) {
        Expected e;
        for (int64_t k = 0; k < in_features; ++k) {
          float input = x[row * x_stride + k];
          e.add(double{rounds ? bf16_to_f32(f32_to_bf16(input)) : input} * w[column * in_features + k]);
        }
        if (with_bias) e.add(bias[column]);
        if (added) e.add((*added)[row * out_stride + column]);
        result.push_back(e);
      }
    return result;
  }

  std::vector<float> results() const {
    std::vector<float> values;
    for (int64_t row = 0; row < rows; ++row)
      values.insert(values.end(), &out[row * out_stride], &out[row * out_stride + out_features]);
    return values;
  }

  bool gaps_untouched() const {
    for (int64_t row = 0; row < rows; ++row)
      for (int64_t column = out_features; column < out_stride; ++column)
        if (out[row * out_stride + column] != kUnused) return false;
    return true;
  }
};

// in_features + 2 roundings to f32, each at most half an ulp of the terms' magnitude.
double rounding(int64_t in_features) { return static_cast<double>(in_features + 2) * 0x1p-24; }

struct Shape {
  int64_t rows, out_features, in_features;
};
const Shape kShapes[] = {{1, 1, 1},     {1, 33, 7},    {2, 576, 577}, {3, 100, 64}, {5, 31, 129},
                         {6, 288, 96},  {7, 65, 50},   {12, 64, 31},  {13, 96, 33}, {32, 70, 61},
                         {100, 37, 45}, {9, 40, 4500}, {26, 40, 4097}};

}  // namespace

TEST_CASE("matmul equals the sum in double", "[cpu]") {
  for (const cpu::Ops* ops : cpu::runnable_ops())
    for (int threads : {1, 3})
      for (Shape shape : kShapes)
        for (DType dtype : {DType::f32, DType::bf16})
          for (Precision precision : {Precision::f32, Precision::bf16}) {
            INFO(ops->name << ", " << threads << " threads, " << shape.rows << " x " << shape.out_features << " x "
                           << shape.in_features << ", " << dtype_name(dtype)
                           << (precision == Precision::bf16 ? ", rounded inputs" : ""));
            cpu::ThreadPool pool(threads);
            Problem problem(shape.rows, shape.out_features, shape.in_features, dtype);
            double bound = rounding(shape.in_features);
            Matmul op = problem.op(0, shape.rows);

            ops->matmul(pool, op, precision);
            REQUIRE(difference(problem.results(), problem.expected(precision, false, nullptr), bound) == "");

            std::vector<float> before = problem.out;
            op.bias = problem.bias.data();
            op.accumulate = true;
            ops->matmul(pool, op, precision);
            REQUIRE(difference(problem.results(), problem.expected(precision, true, &before), bound) == "");
            REQUIRE(problem.gaps_untouched());
          }
}

TEST_CASE("a row's bits depend neither on the number of rows nor on the threads", "[cpu]") {
  for (const cpu::Ops* ops : cpu::runnable_ops())
    for (DType dtype : {DType::f32, DType::bf16})
      for (Precision precision : {Precision::f32, Precision::bf16}) {
        INFO(ops->name << ", " << dtype_name(dtype));
        cpu::ThreadPool one(1), two(2);
        Problem problem(200, 171, 2333, dtype);
        for (int64_t row = 0; row < problem.rows; ++row) ops->matmul(one, problem.op(row, 1), precision);
        const std::vector<float> alone = problem.results();
        auto same_bits = [&](cpu::ThreadPool& pool, int64_t first, int64_t count) {
          std::fill(problem.out.begin(), problem.out.end(), kNaN);
          ops->matmul(pool, problem.op(first, count), precision);
          std::vector<float> together = problem.results();
          std::span<const float> part(together), expected(alone);
          size_t begin = first * problem.out_features, size = count * problem.out_features;
          return bit_difference(part.subspan(begin, size), expected.subspan(begin, size));
        };
        for (int64_t count = 1; count <= 64; ++count) REQUIRE(same_bits(two, 200 - count, count) == "");
        REQUIRE(same_bits(one, 0, 200) == "");
        REQUIRE(same_bits(two, 0, 200) == "");
        REQUIRE(same_bits(two, 7, 130) == "");
      }
}

TEST_CASE("a NaN stays in its row", "[cpu]") {
  for (const cpu::Ops* ops : cpu::runnable_ops())
    for (Precision precision : {Precision::f32, Precision::bf16}) {
      cpu::ThreadPool pool(2);
      Problem problem(14, 40, 33, DType::bf16);
      problem.x[5 * problem.x_stride + 32] = kNaN;
      ops->matmul(pool, problem.op(0, 14), precision);
      for (int64_t row = 0; row < problem.rows; ++row)
        for (int64_t column = 0; column < problem.out_features; ++column)
          REQUIRE(std::isnan(problem.out[row * problem.out_stride + column]) == (row == 5));
    }
}
