// A step is recorded once, before any of its lengths is known, and then serves every mix of rows that fits its bucket.
#include "tests/kernels/attention_fixture.h"

using namespace penstock;

namespace {

using Mix = std::vector<PagedSequence>;

struct Bucket {
  int64_t tokens, rows;
};

// Rows whose contents are one sequence share the blocks that both have behind them, as a prefix cache makes them.
PagedStep make_step(const Mix& mix, const std::vector<int64_t>& ids, int64_t block_size) {
  PagedStep step(mix, block_size, 0);
  for (size_t r = 1; r < mix.size(); ++r) {
    const int64_t known = std::min(mix[r].context - mix[r].added, mix[r - 1].context - mix[r - 1].added);
    if (ids[r] == ids[r - 1]) step.share(static_cast<int64_t>(r), known / block_size);
  }
  return step;
}

// Every third row has its own contents; the two before it are one sequence.
std::vector<int64_t> ids_of(const Mix& mix) {
  std::vector<int64_t> ids(mix.size());
  for (size_t r = 0; r < ids.size(); ++r) ids[r] = static_cast<int64_t>(r % 3 == 1 ? r - 1 : r);
  return ids;
}

void check_mixes(Backend& backend, Variant variant, Bucket bucket, const std::vector<Mix>& mixes) {
  PagedShape& shape = variant.shape;
  shape.dtype = cache_dtypes(backend).back();
  std::vector<PagedStep> steps;
  int64_t blocks = 0, entries = 0;
  for (const Mix& mix : mixes) {
    steps.push_back(make_step(mix, ids_of(mix), shape.block_size));
    blocks = std::max(blocks, steps.back().blocks);
    entries = std::max(entries, static_cast<int64_t>(steps.back().block_tables.size()));
  }
  for (PagedStep& step : steps) step.pad(bucket.tokens, bucket.rows, entries);

  const int64_t width = shape.heads * shape.head_dim, stride = width + 8;
  PagedStep nothing({}, shape.block_size, 0);
  nothing.pad(bucket.tokens, bucket.rows, entries);
  DeviceStep on_device(backend, nothing);
  DeviceCache cache(backend, shape, blocks);
  DeviceNumbers qkv(backend, std::vector<float>(bucket.tokens * shape.qkv_width(), kNan));
  const std::vector<float> untouched(bucket.tokens * stride, kNan);
  DeviceNumbers out(backend, untouched);
  const PagedAttention op = attention_op(variant, out.matrix(bucket.tokens, width, stride),
                                         qkv.matrix(bucket.tokens, shape.qkv_width()), cache, on_device);
  auto graph = backend.record([&] { backend.paged_attention(op); });

  for (size_t m = 0; m < mixes.size(); ++m) {
    INFO("mix " << m << ", head_dim " << shape.head_dim << ", block_size " << shape.block_size << ", heads "
                << shape.heads << " / " << shape.kv_heads << ", window " << variant.window << ", soft cap "
                << variant.soft_cap);
    const PagedStep& step = steps[m];
    AttentionInput input(shape, backend.activation_dtype(), step, mixes[m], ids_of(mixes[m]), blocks);
    on_device.upload(step), cache.upload(input.k, input.v), qkv.upload(input.qkv);
    std::vector<std::vector<float>> runs;
    for (int run = 0; run < 2; ++run) {
      out.upload(untouched);
      graph->replay();
      runs.push_back(out.download());
    }
    CHECK(bit_difference(runs[0], runs[1]) == "");
    std::vector<float> got;
    int64_t strays = 0;
    for (int64_t t = 0; t < bucket.tokens; ++t) {
      const float* row = &runs[0][t * stride];
      for (int64_t i = width; i < stride; ++i) strays += !std::isnan(row[i]);
      if (t < step.row_begin.back())
        got.insert(got.end(), row, row + width);
      else
        for (int64_t i = 0; i < width; ++i) strays += row[i] != 0;
    }
    CHECK(strays == 0);
    auto want = attention_reference(variant, backend.activation_dtype(), mixes[m], ids_of(mixes[m]));
    CHECK(attention_difference(backend, got, want) == "");
  }
}

const std::vector<Mix> kMixes = {
    {{300, 300}, {1100, 1}, {1100, 127}, {17, 3}, {16, 8}, {24, 9}, {1, 1}},
    {{15, 1}, {16, 1}, {0, 0}, {17, 1}, {1025, 8}, {9, 9}, {127, 127}, {500, 0}, {1000, 3}, {700, 250}, {300, 1}},
    {{1500, 9}},
    {{1100, 1}, {1100, 1}, {3, 3}, {8, 8}},
    {},
};

}  // namespace

TEST_CASE("a recorded step of attention serves every mix of rows") {
  auto backend = test_backend();
  for (int64_t head_dim : {64, 96, 128, 256})
    check_mixes(*backend, {{.heads = 8, .kv_heads = 2, .head_dim = head_dim, .block_size = 16}}, {512, 12}, kMixes);
  for (int64_t block_size : {16, 32, 64, 128})
    check_mixes(*backend, {{.heads = 3, .kv_heads = 3, .head_dim = 64, .block_size = block_size}, 100, 30.0f},
                {512, 12}, kMixes);
  check_mixes(*backend, {{.heads = 4, .kv_heads = 1, .head_dim = 128, .block_size = 16}, 1}, {512, 12}, kMixes);
}

TEST_CASE("a recorded step of few tokens, and one of many rows") {
  auto backend = test_backend();
  check_mixes(*backend, {{.heads = 4, .kv_heads = 4, .head_dim = 128, .block_size = 64}}, {8, 12},
              {{{4097, 1}}, {{300, 8}}, {{1, 1}, {100, 2}, {2000, 5}}});
  check_mixes(*backend, {{.heads = 4, .kv_heads = 1, .head_dim = 64, .block_size = 16}}, {1400, 1200},
              {Mix(1200, {40, 1}), Mix(150, {70, 9})});
}

TEST_CASE("a recorded step of attention, small", "[sanitize]") {
  auto backend = test_backend();
  const std::vector<Mix> mixes = {{{40, 40}, {300, 1}, {1200, 9}, {17, 3}, {1, 1}, {0, 0}, {530, 8}}, {}};
  for (int64_t head_dim : {64, 80, 128, 256})
    check_mixes(*backend, {{.heads = 8, .kv_heads = 2, .head_dim = head_dim}, head_dim == 80 ? 50 : 0}, {64, 8}, mixes);
}
