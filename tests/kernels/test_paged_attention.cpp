#include "tests/kernels/attention_fixture.h"

using namespace penstock;

TEST_CASE("paged_attention is the softmax of all keys up to the token's own") {
  auto backend = test_backend();
  for (DType dtype : cache_dtypes(*backend))
    for (int64_t block_size : block_sizes(*backend)) {
      INFO("block_size " << block_size << ", " << dtype_name(dtype));
      PagedShape shape{.heads = 9, .kv_heads = 3, .head_dim = 64, .block_size = block_size, .dtype = dtype};
      check_attention(*backend, {shape}, {{1, 1}, {15, 1}, {16, 2}, {17, 17}, {129, 3}, {300, 1}, {260, 127}});
    }
}

TEST_CASE("paged_attention with other heads and head sizes") {
  auto backend = test_backend();
  for (int64_t width : {8, 20, 64, 80, 96, 112, 120, 128, 256})
    for (int64_t group : {1, 2, 3, 4, 7, 8}) {
      const int64_t head_dim = width_for(*backend, width), block_size = block_size_for(*backend, 8);
      INFO("head_dim " << head_dim << ", group " << group);
      PagedShape shape{.heads = 2 * group, .kv_heads = 2, .head_dim = head_dim, .block_size = block_size};
      shape.dtype = cache_dtypes(*backend).front();
      check_attention(*backend, {shape}, {{5, 5}, {140, 20}, {77, 8}, {150, 1}});
    }
}

TEST_CASE("paged_attention with any number of new tokens a row", "[sanitize]") {
  auto backend = test_backend();
  std::vector<PagedSequence> sequences = {{15, 1}, {16, 1}, {17, 1}, {1, 1}, {15, 15}, {16, 16}, {17, 3}, {3, 3}};
  for (int64_t tokens = 1; tokens <= 10; ++tokens) sequences.push_back({37 + tokens, tokens});
  for (int64_t head_dim : {64, 128})
    for (int64_t group : {1, 4}) {
      PagedShape shape{.heads = 2 * group, .kv_heads = 2, .head_dim = head_dim, .block_size = 16};
      shape.dtype = cache_dtypes(*backend).back();
      check_attention(*backend, {shape}, sequences);
    }
}

TEST_CASE("paged_attention at a long context") {
  auto backend = test_backend();
  const DType dtype = cache_dtypes(*backend).front();
  check_attention(*backend, {{.heads = 3, .kv_heads = 1, .block_size = 64, .dtype = dtype}}, {{4097, 2}, {4097, 127}});
  for (int64_t head_dim : {64, 96, 128, 256})
    check_attention(*backend, {{.heads = 4, .kv_heads = 1, .head_dim = head_dim, .block_size = 16, .dtype = dtype}},
                    {{4097, 1}, {4096, 8}, {2049, 9}});
}

TEST_CASE("paged_attention with a window and a soft cap") {
  auto backend = test_backend();
  for (int64_t window : {1, 2, 16, 100, 129, 1000})
    for (float soft_cap : {0.0f, 5.0f, 50.0f}) {
      INFO("window " << window << ", soft cap " << soft_cap);
      PagedShape shape{.heads = 4, .kv_heads = 2, .head_dim = 32, .block_size = 16};
      shape.dtype = cache_dtypes(*backend).front();
      check_attention(*backend, {shape, window, soft_cap}, {{1, 1}, {300, 300}, {260, 2}, {1500, 3}, {1400, 20}});
    }
}

TEST_CASE("NaN in one sequence's queries, keys or values stays in it", "[sanitize]") {
  auto backend = test_backend();
  PagedShape shape{.heads = 4, .kv_heads = 2, .head_dim = 64, .block_size = 16};
  shape.dtype = cache_dtypes(*backend).back();
  const std::vector<PagedSequence> sequences = {{40, 1}, {33, 12}, {70, 8}, {20, 20}};
  const std::vector<int64_t> ids = {0, 1, 2, 3};
  const size_t width = shape.heads * shape.head_dim;
  const auto clean = run_attention(*backend, {shape}, sequences, ids);
  for (size_t victim = 0; victim < sequences.size(); ++victim)
    for (char what : {'q', 'k', 'v'}) {
      INFO("sequence " << victim << ", " << what);
      auto got =
          run_attention(*backend, {shape}, sequences, ids, 2, 1, [&](AttentionInput& input, const PagedStep& step) {
            const int64_t at = step.at(shape, static_cast<int64_t>(victim), 0, 0);
            if (what == 'q') std::fill_n(input.qkv.begin() + step.row_begin[victim] * shape.qkv_width(), width, kNan);
            if (what == 'k') std::fill_n(input.k.begin() + at, shape.head_dim, kNan);
            if (what == 'v') std::fill_n(input.v.begin() + at, shape.head_dim, kNan);
          });
      size_t token = 0;
      for (size_t s = 0; s < sequences.size(); ++s) {
        const size_t begin = token * width, count = sequences[s].added * width;
        if (s == victim)
          CHECK(std::isnan(got[begin]));
        else
          CHECK(bit_difference(slice(got, begin, count), slice(clean, begin, count)) == "");
        token += sequences[s].added;
      }
    }
}

TEST_CASE("a token's bits depend on nothing but its sequence", "[cpu]") {
  for (DType dtype : {DType::f32, DType::bf16})
    for (int64_t window : {0, 100}) {
      auto backend = cpu_backend();
      Variant variant{{.heads = 9, .kv_heads = 3, .head_dim = 64, .block_size = 16, .dtype = dtype}, window};
      constexpr int64_t kContext = 277;
      auto whole = run_attention(*backend, variant, {{kContext, kContext}}, {4});
      int64_t width = 9 * 64;
      for (int64_t chunk : {1, 7, 16, 100}) {
        INFO("chunk " << chunk << ", window " << window);
        std::vector<float> pieces;
        for (int64_t begin = 0; begin < kContext; begin += chunk) {
          int64_t end = std::min(kContext, begin + chunk);
          auto piece = run_attention(*backend, variant, {{end, end - begin}}, {4}, begin % 3);
          pieces.insert(pieces.end(), piece.begin(), piece.end());
        }
        CHECK(bit_difference(pieces, whole) == "");
      }
      for (int64_t block_size : {1, 5, 32, 64, 128}) {
        Variant other = variant;
        other.shape.block_size = block_size;
        CHECK(bit_difference(run_attention(*backend, other, {{kContext, kContext}}, {4}, 0, 9), whole) == "");
      }
      auto alone = cpu_backend(1);
      CHECK(bit_difference(run_attention(*alone, variant, {{kContext, kContext}}, {4}), whole) == "");
      auto batch = run_attention(*backend, variant, {{33, 5}, {kContext, 50}, {200, 1}}, {1, 4, 2});
      CHECK(bit_difference(slice(batch, 5 * width, 50 * width), slice(whole, (kContext - 50) * width, 50 * width)) ==
            "");
    }
}
