#include "tests/kernels/paged_fixture.h"

using namespace penstock;

namespace {

constexpr float kEps = 1e-6f;

struct Tables {
  std::vector<float> rope, q_norm, k_norm;
  Tables(int64_t positions, int64_t head_dim)
      : rope(positions * head_dim), q_norm(normal_values(head_dim, 8)), k_norm(normal_values(head_dim, 9)) {
    for (int64_t p = 0; p < positions; ++p)
      for (int64_t i = 0; i < head_dim / 2; ++i) {
        double angle = static_cast<double>(p) * std::pow(1e4, -2.0 * static_cast<double>(i) / head_dim);
        rope[p * head_dim + i] = static_cast<float>(std::cos(angle));
        rope[p * head_dim + head_dim / 2 + i] = static_cast<float>(std::sin(angle));
      }
  }
};

// One head, normed and rotated in double.
std::vector<Expected> reference(const float* x, int64_t head_dim, const float* norm, const float* rope) {
  std::vector<double> y(x, x + head_dim);
  if (norm) {
    double squares = 0;
    for (double value : y) squares += value * value;
    for (int64_t i = 0; i < head_dim; ++i) y[i] *= norm[i] / std::sqrt(squares / static_cast<double>(head_dim) + kEps);
  }
  std::vector<Expected> out(head_dim);
  int64_t half = head_dim / 2;
  for (int64_t i = 0; i < head_dim; ++i) {
    if (!rope) {
      out[i].add(y[i]);
      continue;
    }
    out[i].add(y[i] * rope[i % half]);
    out[i].add(i < half ? -y[i + half] * rope[half + i] : y[i - half] * rope[i]);
  }
  return out;
}

void check_step(Backend& backend, const PagedShape& shape, const std::vector<PagedSequence>& sequences, bool norm,
                bool rope) {
  PagedStep step(sequences, shape.block_size, 3);
  DeviceStep device_step(backend, step);
  DeviceCache cache(backend, shape, step.blocks);
  int64_t width = shape.qkv_width(), d = shape.head_dim;
  Tables tables(64, d);
  auto qkv = rounded(backend, normal_values(step.tokens() * width, 3));
  DeviceNumbers device_qkv(backend, qkv);
  DeviceArray<float> device_rope(backend, tables.rope), q_norm(backend, tables.q_norm), k_norm(backend, tables.k_norm);
  backend.qk_norm_rope_store({.qkv = device_qkv.matrix(step.tokens(), width),
                              .heads = shape.heads,
                              .q_norm = norm ? q_norm.data() : nullptr,
                              .k_norm = norm ? k_norm.data() : nullptr,
                              .norm_eps = kEps,
                              .rope = rope ? device_rope.data() : nullptr,
                              .cache = cache.view(),
                              .step = device_step.view()});
  auto got = device_qkv.download(), keys = cache.keys(), values = cache.values();
  const double near = tolerance(backend, 12 * kUlp);
  const double stored = shape.dtype == DType::bf16 ? kBf16Roundoff + 0x1p-16 : near;
  std::vector<bool> written(cache.count());
  for (int64_t t = 0; t < step.row_begin.back(); ++t) {
    const float* cos_sin = rope ? &tables.rope[step.positions[t] * d] : nullptr;
    const float* token = &qkv[t * width];
    for (int64_t h = 0; h < shape.heads; ++h)
      CHECK(difference({&got[t * width + h * d], static_cast<size_t>(d)},
                       reference(token + h * d, d, norm ? tables.q_norm.data() : nullptr, cos_sin), near) == "");
    for (int64_t h = 0; h < shape.kv_heads; ++h) {
      int64_t at = step.at(shape, step.token_rows[t], step.positions[t], h);
      std::fill_n(written.begin() + at, d, true);
      CHECK(difference({&keys[at], static_cast<size_t>(d)},
                       reference(token + (shape.heads + h) * d, d, norm ? tables.k_norm.data() : nullptr, cos_sin),
                       stored) == "");
      std::vector<float> value(token + (shape.heads + shape.kv_heads + h) * d,
                               token + (shape.heads + shape.kv_heads + h + 1) * d);
      CHECK(bit_difference({&values[at], static_cast<size_t>(d)}, rounded(shape.dtype, value)) == "");
    }
  }
  int64_t strays = 0;
  for (int64_t i = 0; i < cache.count(); ++i)
    if (!written[i]) strays += !std::isnan(keys[i]) + !std::isnan(values[i]);
  CHECK(strays == 0);
}

}  // namespace

TEST_CASE("qk_norm_rope_store norms, rotates and stores what the reference does, and nothing else") {
  auto backend = test_backend();
  for (DType dtype : cache_dtypes(*backend))
    for (int64_t width : {8, 20, 64, 80, 96, 112, 120, 128, 256})
      for (int64_t block_size : block_sizes(*backend))
        for (int variant = 0; variant < 4; ++variant) {
          const int64_t head_dim = width_for(*backend, width);
          INFO("head_dim " << head_dim << ", block_size " << block_size << ", variant " << variant);
          check_step(*backend,
                     {.heads = 4, .kv_heads = 2, .head_dim = head_dim, .block_size = block_size, .dtype = dtype},
                     {{1, 1}, {50, 3}, {17, 17}}, variant & 1, variant & 2);
        }
}

TEST_CASE("qk_norm_rope_store with one head of keys, and with many heads", "[sanitize]") {
  auto backend = test_backend();
  const DType dtype = cache_dtypes(*backend).back();
  for (int64_t head_dim : {64, 80, 128})
    for (auto [heads, kv_heads] : {std::pair<int64_t, int64_t>{1, 1}, {5, 1}, {9, 3}, {14, 2}, {32, 8}})
      check_step(*backend,
                 {.heads = heads, .kv_heads = kv_heads, .head_dim = head_dim, .block_size = 16, .dtype = dtype},
                 {{3, 3}, {63, 1}}, true, true);
}

TEST_CASE("qk_norm_rope_store keeps one token's NaN away from the others") {
  auto backend = test_backend();
  for (int64_t head_dim : {64, 96}) {
    PagedShape shape{.heads = 2, .kv_heads = 1, .head_dim = head_dim, .block_size = 16};
    shape.dtype = cache_dtypes(*backend).front();
    PagedStep step({{20, 20}}, shape.block_size, 0);
    DeviceStep device_step(*backend, step);
    DeviceCache cache(*backend, shape, step.blocks);
    const int64_t width = shape.qkv_width();
    auto qkv = normal_values(step.tokens() * width, 4);
    std::fill_n(qkv.begin() + 7 * width, width, kNan);
    Tables tables(64, head_dim);
    DeviceNumbers device_qkv(*backend, qkv);
    DeviceArray<float> rope(*backend, tables.rope), norm(*backend, tables.q_norm);
    backend->qk_norm_rope_store({.qkv = device_qkv.matrix(step.tokens(), width),
                                 .heads = shape.heads,
                                 .q_norm = norm.data(),
                                 .k_norm = norm.data(),
                                 .norm_eps = kEps,
                                 .rope = rope.data(),
                                 .cache = cache.view(),
                                 .step = device_step.view()});
    auto got = device_qkv.download(), keys = cache.keys(), values = cache.values();
    for (int64_t t = 0; t < step.tokens(); ++t) {
      const int64_t at = step.at(shape, 0, t, 0);
      for (int64_t i = 0; i < head_dim; ++i) {
        REQUIRE(std::isnan(got[t * width + i]) == (t == 7));
        REQUIRE(std::isnan(keys[at + i]) == (t == 7));
        REQUIRE(std::isnan(values[at + i]) == (t == 7));
      }
    }
  }
}

TEST_CASE("a stored bf16 key is the rounded f32 key", "[cpu]") {
  auto backend = cpu_backend();
  PagedShape shape{.heads = 2, .kv_heads = 1, .head_dim = 64, .block_size = 8};
  PagedStep step({{20, 20}}, shape.block_size, 0);
  DeviceStep device_step(*backend, step);
  auto qkv = normal_values(step.tokens() * shape.qkv_width(), 4);
  Tables tables(64, shape.head_dim);
  DeviceArray<float> rope(*backend, tables.rope);
  std::vector<std::vector<float>> keys;
  for (DType dtype : {DType::f32, DType::bf16}) {
    shape.dtype = dtype;
    DeviceCache cache(*backend, shape, step.blocks);
    DeviceArray<float> device_qkv(*backend, qkv);
    backend->qk_norm_rope_store({.qkv = device_qkv.matrix(step.tokens(), shape.qkv_width()),
                                 .heads = shape.heads,
                                 .rope = rope.data(),
                                 .cache = cache.view(),
                                 .step = device_step.view()});
    keys.push_back(cache.keys());
  }
  keys[0] = rounded(DType::bf16, keys[0]);
  for (size_t i = 0; i < keys[0].size(); ++i)
    REQUIRE((std::isnan(keys[0][i]) ? std::isnan(keys[1][i]) : keys[0][i] == keys[1][i]));
}

namespace {

// What is stored for `qkv` with a table of `rotary_dim` columns that starts `rope_offset` entries early.
struct Stored {
  std::vector<float> qkv, keys, values;
};

Stored store(Backend& backend, const PagedShape& shape, const PagedStep& step, const std::vector<float>& qkv,
             const std::vector<float>& rope, int64_t rotary_dim, const std::vector<int32_t>& row_rope, bool norm) {
  DeviceStep device_step(backend, step);
  DeviceCache cache(backend, shape, step.blocks);
  DeviceNumbers device_qkv(backend, qkv);
  DeviceArray<float> device_rope(backend, rope), weight(backend, normal_values(shape.head_dim, 8));
  DeviceArray<int32_t> device_row_rope(backend, row_rope);
  StepView view = device_step.view();
  if (!row_rope.empty()) view.row_rope = device_row_rope.data();
  backend.qk_norm_rope_store({.qkv = device_qkv.matrix(step.tokens(), shape.qkv_width()),
                              .heads = shape.heads,
                              .q_norm = norm ? weight.data() : nullptr,
                              .k_norm = norm ? weight.data() : nullptr,
                              .norm_eps = kEps,
                              .rope = rope.empty() ? nullptr : device_rope.data(),
                              .rotary_dim = rotary_dim,
                              .cache = cache.view(),
                              .step = view});
  return {device_qkv.download(), cache.keys(), cache.values()};
}

}  // namespace

TEST_CASE("a row reads the RoPE table from its own entry on") {
  auto backend = test_backend();
  PagedShape shape{.heads = 2, .kv_heads = 1, .head_dim = GENERATE(24, 64), .block_size = 16};
  shape.dtype = cache_dtypes(*backend).front();
  PagedStep step({{20, 20}, {9, 2}, {31, 1}}, shape.block_size, 2);
  auto qkv = rounded(*backend, normal_values(step.tokens() * shape.qkv_width(), 4));
  std::vector<int32_t> offsets = {100, 0, 40, 0};
  const std::vector<float> rope = Tables(140, shape.head_dim).rope;
  Stored got = store(*backend, shape, step, qkv, rope, 0, offsets, true);
  for (int64_t row = 0; row < 3; ++row) {
    // The same step with a table that begins where the row's does.
    std::vector<float> moved(rope.begin() + offsets[row] * shape.head_dim, rope.end());
    moved.resize(rope.size());
    Stored want = store(*backend, shape, step, qkv, moved, 0, {}, true);
    size_t begin = step.row_begin[row] * shape.qkv_width();
    size_t count = step.row_begin[row + 1] * shape.qkv_width() - begin;
    CHECK(bit_difference(slice(got.qkv, begin, count), slice(want.qkv, begin, count)) == "");
    for (int64_t t = step.row_begin[row]; t < step.row_begin[row + 1]; ++t) {
      size_t at = step.at(shape, row, step.positions[t], 0);
      CHECK(bit_difference(slice(got.keys, at, shape.head_dim), slice(want.keys, at, shape.head_dim)) == "");
    }
  }
}

TEST_CASE("partial RoPE turns the head's first rotary_dim elements, and only those") {
  auto backend = test_backend();
  for (int64_t width : {20, 64, 80})
    for (int64_t rotary_dim : {2, 10, 16, 20})
      for (bool norm : {false, true}) {
        const int64_t head_dim = width_for(*backend, width);
        INFO("head_dim " << head_dim << ", rotary_dim " << rotary_dim << ", norm " << norm);
        PagedShape shape{.heads = 2, .kv_heads = 2, .head_dim = head_dim, .block_size = 16};
        shape.dtype = cache_dtypes(*backend).front();
        PagedStep step({{20, 20}, {9, 2}}, shape.block_size, 1);
        auto qkv = rounded(*backend, normal_values(step.tokens() * shape.qkv_width(), 4));
        const std::vector<float> rope = Tables(32, rotary_dim).rope;
        Stored got = store(*backend, shape, step, qkv, rope, rotary_dim, {}, norm);
        Stored plain = store(*backend, shape, step, qkv, {}, 0, {}, norm);  // normed only
        auto check_head = [&](const float* turned, const float* before, int64_t position) {
          auto want = reference(before, rotary_dim, nullptr, &rope[position * rotary_dim]);
          // `before` has been rounded already where it was normed.
          const double near = tolerance(*backend, 4 * kUlp) + (norm ? roundoff(*backend) : 0);
          CHECK(difference({turned, static_cast<size_t>(rotary_dim)}, want, near) == "");
          std::span<const float> rest(turned + rotary_dim, head_dim - rotary_dim);
          if (!norm || !has_bf16_activations(*backend))
            CHECK(bit_difference(rest, {before + rotary_dim, rest.size()}) == "");
          for (size_t i = 0; i < rest.size(); ++i)  // another kernel's norm may round to the neighbour
            REQUIRE(std::abs(rest[i] - before[rotary_dim + i]) <= 2 * roundoff(*backend) * std::abs(rest[i]));
        };
        for (int64_t t = 0; t < step.row_begin.back(); ++t)
          for (int64_t h = 0; h < 2; ++h) {
            int64_t q = t * shape.qkv_width() + h * head_dim;
            check_head(&got.qkv[q], &plain.qkv[q], step.positions[t]);
            int64_t k = step.at(shape, step.token_rows[t], step.positions[t], h);
            check_head(&got.keys[k], &plain.keys[k], step.positions[t]);
            CHECK(bit_difference({&got.values[k], size_t(head_dim)}, {&plain.values[k], size_t(head_dim)}) == "");
          }
      }
  PagedShape shape{.heads = 1, .kv_heads = 1, .head_dim = 16, .block_size = 8};
  PagedStep step({{1, 1}}, 8, 0);
  auto qkv = normal_values(shape.qkv_width(), 4);
  for (int64_t rotary_dim : {-2, 3, 18})
    CHECK_THROWS_AS(store(*backend, shape, step, qkv, std::vector<float>(64), rotary_dim, {}, false), Error);
}
