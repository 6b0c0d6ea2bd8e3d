#include "tests/kernels/paged_fixture.h"

using namespace penstock;

namespace {

struct Variant {
  PagedShape shape;
  int64_t window = 0;
  float soft_cap = 0;
  float scale() const { return 1 / std::sqrt(static_cast<float>(shape.head_dim)); }
};

// The keys, values and queries of sequence s at a position: the same whatever step they are computed in.
std::vector<float> vector_of(char what, int64_t sequence, int64_t position, int64_t head, int64_t head_dim) {
  uint32_t seed = static_cast<uint32_t>(((what * 31 + sequence) * 8191 + position) * 61 + head);
  return normal_values(head_dim, seed, what == 'q' ? 2.0f : 1.0f);
}
std::vector<float> cached(char what, int64_t s, int64_t position, int64_t head, const PagedShape& shape) {
  auto x = vector_of(what, s, position, head, shape.head_dim);
  if (shape.dtype == DType::bf16)
    for (float& value : x) value = bf16_to_f32(f32_to_bf16(value));
  return x;
}

// Runs one step; sequences[i] has the contents of sequence ids[i]. Returns the real tokens' outputs.
std::vector<float> run(Backend& backend, const Variant& variant, const std::vector<PagedSequence>& sequences,
                       const std::vector<int64_t>& ids, int64_t padding = 2, uint32_t seed = 1) {
  const PagedShape& shape = variant.shape;
  PagedStep step(sequences, shape.block_size, padding, seed);
  DeviceStep device_step(backend, step);
  DeviceCache cache(backend, shape, step.blocks);
  std::vector<float> k(cache.count(), kNan), v(cache.count(), kNan), qkv(step.tokens() * shape.qkv_width(), kNan);
  for (size_t s = 0; s < sequences.size(); ++s) {
    for (int64_t p = 0; p < sequences[s].context; ++p)
      for (int64_t h = 0; h < shape.kv_heads; ++h) {
        auto at = step.at(shape, static_cast<int64_t>(s), p, h);
        std::ranges::copy(cached('k', ids[s], p, h, shape), k.begin() + at);
        std::ranges::copy(cached('v', ids[s], p, h, shape), v.begin() + at);
      }
    for (int64_t t = step.row_begin[s]; t < step.row_begin[s + 1]; ++t)
      for (int64_t h = 0; h < shape.heads; ++h)
        std::ranges::copy(vector_of('q', ids[s], step.positions[t], h, shape.head_dim),
                          qkv.begin() + t * shape.qkv_width() + h * shape.head_dim);
  }
  cache.upload(k, v);
  int64_t width = shape.heads * shape.head_dim;
  DeviceArray<float> device_qkv(backend, qkv), out(backend, step.tokens() * width);
  backend.paged_attention({.out = out.matrix(step.tokens(), width),
                           .qkv = device_qkv.matrix(step.tokens(), shape.qkv_width()),
                           .heads = shape.heads,
                           .scale = variant.scale(),
                           .window = variant.window,
                           .soft_cap = variant.soft_cap,
                           .cache = cache.view(),
                           .step = device_step.view()});
  auto got = out.download();
  size_t real = step.row_begin.back() * width;
  CHECK(slice(got, real, got.size() - real) == std::vector<float>(got.size() - real, 0.0f));
  return slice(got, 0, real);
}

// Sequence s, tokens [context - added, context), in double.
std::vector<Expected> reference(const Variant& variant, PagedSequence sequence, int64_t s) {
  const PagedShape& shape = variant.shape;
  std::vector<Expected> out;
  std::vector<std::vector<float>> k, v;
  for (int64_t p = 0; p < sequence.context; ++p)
    for (int64_t h = 0; h < shape.kv_heads; ++h)
      k.push_back(cached('k', s, p, h, shape)), v.push_back(cached('v', s, p, h, shape));
  for (int64_t t = sequence.context - sequence.added; t < sequence.context; ++t)
    for (int64_t h = 0; h < shape.heads; ++h) {
      auto q = vector_of('q', s, t, h, shape.head_dim);
      int64_t kv_head = h / (shape.heads / shape.kv_heads);
      int64_t first = variant.window > 0 ? std::max<int64_t>(0, t + 1 - variant.window) : 0;
      std::vector<double> weights;
      double total = 0, largest = -1e300;
      for (int64_t p = first; p <= t; ++p) {
        double score = 0;
        for (int64_t d = 0; d < shape.head_dim; ++d)
          score += static_cast<double>(q[d]) * k[p * shape.kv_heads + kv_head][d];
        score *= variant.scale();
        if (variant.soft_cap > 0) score = variant.soft_cap * std::tanh(score / variant.soft_cap);
        weights.push_back(score), largest = std::max(largest, score);
      }
      for (double& weight : weights) total += weight = std::exp(weight - largest);
      for (int64_t d = 0; d < shape.head_dim; ++d) {
        out.emplace_back();
        for (int64_t p = first; p <= t; ++p)
          out.back().add(weights[p - first] / total * v[p * shape.kv_heads + kv_head][d]);
      }
    }
  return out;
}

// Scores are sums of head_dim products of size about 2 |q| |k|: their absolute error is a relative error of the
// weights.
constexpr double kTolerance = 80 * kUlp;

void check_against_reference(Backend& backend, const Variant& variant, const std::vector<PagedSequence>& sequences) {
  std::vector<int64_t> ids;
  std::vector<Expected> want;
  for (const PagedSequence& sequence : sequences) {
    auto part = reference(variant, sequence, static_cast<int64_t>(ids.size()));
    want.insert(want.end(), part.begin(), part.end());
    ids.push_back(static_cast<int64_t>(ids.size()));
  }
  CHECK(difference(run(backend, variant, sequences, ids), want, kTolerance) == "");
}

}  // namespace

TEST_CASE("paged_attention is the softmax of all keys up to the token's own") {
  auto backend = test_backend();
  for (DType dtype : {DType::f32, DType::bf16})
    for (int64_t block_size : {1, 3, 16, 32, 64, 128}) {
      INFO("block_size " << block_size << ", " << dtype_name(dtype));
      PagedShape shape{.heads = 9, .kv_heads = 3, .head_dim = 64, .block_size = block_size, .dtype = dtype};
      check_against_reference(*backend, {shape}, {{1, 1}, {15, 1}, {16, 2}, {17, 17}, {129, 3}, {300, 1}});
    }
}

TEST_CASE("paged_attention with other heads and head sizes") {
  auto backend = test_backend();
  for (int64_t head_dim : {8, 20, 80, 96, 128, 256})
    for (int64_t group : {1, 2, 4, 7}) {
      INFO("head_dim " << head_dim << ", group " << group);
      PagedShape shape{.heads = 2 * group, .kv_heads = 2, .head_dim = head_dim, .block_size = 8};
      check_against_reference(*backend, {shape}, {{5, 5}, {140, 20}});
    }
}

TEST_CASE("paged_attention at a long context") {
  auto backend = test_backend();
  check_against_reference(*backend, {{.heads = 3, .kv_heads = 1, .block_size = 64}}, {{4097, 2}});
}

TEST_CASE("paged_attention with a window and a soft cap") {
  auto backend = test_backend();
  for (int64_t window : {1, 2, 16, 100, 129, 1000})
    for (float soft_cap : {0.0f, 5.0f}) {
      INFO("window " << window << ", soft cap " << soft_cap);
      PagedShape shape{.heads = 4, .kv_heads = 2, .head_dim = 32, .block_size = 16};
      check_against_reference(*backend, {shape, window, soft_cap}, {{1, 1}, {300, 300}, {260, 2}});
    }
}

TEST_CASE("a token's bits depend on nothing but its sequence") {
  for (DType dtype : {DType::f32, DType::bf16})
    for (int64_t window : {0, 100}) {
      auto backend = test_backend();
      Variant variant{{.heads = 9, .kv_heads = 3, .head_dim = 64, .block_size = 16, .dtype = dtype}, window};
      constexpr int64_t kContext = 277;
      auto whole = run(*backend, variant, {{kContext, kContext}}, {4});
      int64_t width = 9 * 64;
      for (int64_t chunk : {1, 7, 16, 100}) {
        INFO("chunk " << chunk << ", window " << window);
        std::vector<float> pieces;
        for (int64_t begin = 0; begin < kContext; begin += chunk) {
          int64_t end = std::min(kContext, begin + chunk);
          auto piece = run(*backend, variant, {{end, end - begin}}, {4}, begin % 3);
          pieces.insert(pieces.end(), piece.begin(), piece.end());
        }
        CHECK(bit_difference(pieces, whole) == "");
      }
      for (int64_t block_size : {1, 5, 32, 64, 128}) {
        Variant other = variant;
        other.shape.block_size = block_size;
        CHECK(bit_difference(run(*backend, other, {{kContext, kContext}}, {4}, 0, 9), whole) == "");
      }
      auto alone = test_backend(1);
      CHECK(bit_difference(run(*alone, variant, {{kContext, kContext}}, {4}), whole) == "");
      auto batch = run(*backend, variant, {{33, 5}, {kContext, 50}, {200, 1}}, {1, 4, 2});
      CHECK(bit_difference(slice(batch, 5 * width, 50 * width), slice(whole, (kContext - 50) * width, 50 * width)) ==
            "");
    }
}
