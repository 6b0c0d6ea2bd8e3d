#include <algorithm>

#include "engine/model/shard_plan.h"
#include "tests/support/catch.h"

namespace penstock {
namespace {

ModelConfig model() {
  ModelConfig m;
  m.hidden = 96, m.heads = 12, m.kv_heads = 4, m.head_dim = 8, m.mlp = 48, m.vocab = 101;
  return m;
}

// How often each of [0, total) is in one of the ranks' spans.
template <class SpanOf>
std::vector<int> cover(int64_t total, int ranks, SpanOf span_of) {
  std::vector<int> count(total);
  for (int rank = 0; rank < ranks; ++rank) {
    const Span span = span_of(ShardPlan(model(), rank, ranks));
    REQUIRE((span.begin >= 0 && span.begin <= span.end && span.end <= total));
    for (int64_t i = span.begin; i < span.end; ++i) ++count[i];
  }
  return count;
}

TEST_CASE("The ranks' cuts hold every row and column exactly once") {
  const int ranks = GENERATE(1, 2, 4, 12);
  const int64_t q = 12 * 8, kv = 4 * 8;
  const auto once = [](int64_t total) { return std::vector<int>(total, 1); };
  auto rows = [&](Cut cut, int64_t total) {
    return cover(total, ranks, [&](const ShardPlan& s) { return s.rows(cut, total); });
  };
  auto columns = [&](Cut cut, int64_t total) {
    return cover(total, ranks, [&](const ShardPlan& s) { return s.columns(cut, total); });
  };
  CHECK(rows(Cut::q_heads, q) == once(q));
  CHECK(rows(Cut::mlp_rows, 48) == once(48));
  CHECK(rows(Cut::vocab, 101) == once(101));
  CHECK(columns(Cut::q_columns, q) == once(q));
  CHECK(columns(Cut::mlp_columns, 48) == once(48));
  // A key/value head is on several ranks once there are more ranks than heads.
  CHECK(rows(Cut::kv_heads, kv) == std::vector<int>(kv, std::max(1, ranks / 4)));
  CHECK(rows(Cut::replicate, 96) == std::vector<int>(96, ranks));
  for (Cut whole : {Cut::q_heads, Cut::kv_heads, Cut::mlp_rows, Cut::vocab, Cut::replicate})
    CHECK(columns(whole, 96) == std::vector<int>(96, ranks));
}

TEST_CASE("A rank has the key/value heads of its query heads") {
  for (int ranks : {1, 2, 4, 12})
    for (int rank = 0; rank < ranks; ++rank) {
      const ShardPlan shard(model(), rank, ranks);
      const Span q = shard.rows(Cut::q_heads, 96), kv = shard.rows(Cut::kv_heads, 32);
      CHECK(kv.begin == q.begin / 8 / 3 * 8);
      CHECK(kv.end == ((q.end / 8 - 1) / 3 + 1) * 8);
      CHECK(shard.heads() == q.size() / 8);
      CHECK(shard.kv_heads() == kv.size() / 8);
      CHECK(shard.qkv_features() == q.size() + 2 * kv.size());
    }
}

TEST_CASE("The vocabulary's parts are equally large, so the last is padded") {
  for (int rank = 0; rank < 4; ++rank) {
    const ShardPlan shard(model(), rank, 4);
    CHECK(shard.vocab() == 26);
    CHECK(shard.first_id() == 26 * rank);
    CHECK(shard.rows(Cut::vocab, 101).size() == (rank < 3 ? 26 : 23));
  }
}

TEST_CASE("A rank count that does not divide is refused, with those that do") {
  for (int ranks : {3, 5, 6, 8, 24}) {
    try {
      ShardPlan shard(model(), 0, ranks);
      FAIL("accepted " << ranks);
    } catch (const Error& error) {
      CHECK(error.code() == ExitCode::bad_model);
      CHECK_THAT(error.what(), ContainsSubstring("--tensor-parallel " + std::to_string(ranks)) &&
                                   Catch::Matchers::EndsWith("these do: 1, 2, 4, 12"));
    }
  }
}

TEST_CASE("Every tensor has its cut by name") {
  CHECK(cut_of("model.embed_tokens.weight") == Cut::vocab);
  CHECK(cut_of("model.layers.7.self_attn.v_proj.bias") == Cut::kv_heads);
  CHECK(cut_of("model.layers.7.self_attn.o_proj.weight") == Cut::q_columns);
  CHECK(cut_of("model.layers.7.self_attn.o_proj.bias") == Cut::replicate);
  CHECK(cut_of("model.layers.7.mlp.down_proj.weight") == Cut::mlp_columns);
  CHECK(cut_of("model.layers.7.post_attention_layernorm.weight") == Cut::replicate);
  CHECK_THROWS_WITH(cut_of("model.layers.7.mlp.router.weight"), ContainsSubstring("mlp.router.weight"));
}

}  // namespace
}  // namespace penstock
