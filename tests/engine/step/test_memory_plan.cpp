#include "engine/model/weights.h"
#include "engine/step/graph_buckets.h"
#include "engine/step/memory_plan.h"
#include "kernels/cpu/cpu_backend.h"
#include "tests/support/catch.h"

namespace penstock {
namespace {

// A machine with as much memory as the case says.
class SmallBackend : public cpu::CpuBackend {
 public:
  explicit SmallBackend(int64_t bytes, DType dtype = DType::f32) : CpuBackend({.dtype = dtype}), bytes_(bytes) {}
  int64_t memory_bytes() const override { return bytes_; }
  int64_t workspace_bytes(const StepShape& largest) const override { return 1000 + 10 * largest.tokens; }
  int64_t graph_bytes(int64_t verbs) const override { return 100 * verbs; }

 private:
  int64_t bytes_;
};

constexpr int64_t kGiB = int64_t{1} << 30;

ModelConfig model() {
  ModelConfig m;
  m.hidden = 64, m.layers = 3, m.heads = 4, m.kv_heads = 2, m.head_dim = 16, m.mlp = 128, m.vocab = 512;
  m.max_positions = 512;
  return m;
}

MemoryPlan plan(const EngineConfig& config, int64_t bytes, DType dtype = DType::f32) {
  return plan_memory(model(), config, ShardPlan(model(), 0, config.tensor_parallel), SmallBackend(bytes, dtype));
}

TEST_CASE("The pool holds every sequence at full length when memory allows, and no more") {
  const MemoryPlan p = plan({.max_batch = 4, .block_size = 64}, kGiB);
  CHECK(p.kv_blocks == 4 * 512 / 64);
  CHECK(p.kv_block_bytes == 2 * 3 * 2 * 64 * 16 * 4);  // K and V, layers, kv_heads, tokens, head_dim, f32
  CHECK(p.kv_bytes == p.kv_blocks * p.kv_block_bytes);
  CHECK(p.max_context == 512);
  CHECK(p.rope_bytes == 512 * 16 * 4);
  CHECK(plan({.max_batch = 4}, kGiB, DType::bf16).kv_block_bytes == p.kv_block_bytes / 2);
}

TEST_CASE("The pool takes at most a quarter of the host's memory by itself, and what is asked for otherwise") {
  const int64_t bytes = 64 << 20;
  const MemoryPlan p = plan({.max_batch = 1000}, bytes);
  CHECK(p.kv_bytes <= bytes / 4);
  CHECK(p.kv_bytes > bytes / 4 - p.kv_block_bytes);
  const MemoryPlan asked = plan({.max_batch = 1000, .kv_blocks = p.kv_blocks + 100}, bytes);
  CHECK(asked.kv_blocks == p.kv_blocks + 100);
  CHECK(plan({.kv_blocks = 1}, bytes).kv_blocks == 1);
}

TEST_CASE("What does not fit is exit code 69, with the plan in the message") {
  const EngineConfig asks_too_much = {.kv_blocks = 1000000};
  const EngineConfig modest = {};
  for (auto [config, bytes] : {std::pair{asks_too_much, kGiB}, std::pair{modest, int64_t{1} << 20}}) {
    try {
      plan(config, bytes);
      FAIL("accepted");
    } catch (const Error& error) {
      CHECK(error.code() == ExitCode::no_device);
      CHECK_THAT(error.what(), ContainsSubstring("weights") && ContainsSubstring("kv blocks") &&
                                   ContainsSubstring("of " + std::to_string(bytes >> 20) + " MiB available"));
    }
  }
}

TEST_CASE("Scratch memory and graphs are paid for, and the parts add up") {
  const MemoryPlan p = plan({.max_batch = 4, .max_step_tokens = 64}, kGiB);
  CHECK(p.workspace_bytes == 1000 + 10 * 64);
  CHECK(p.num_graphs == static_cast<int64_t>(graph_buckets(64).size() + graph_buckets(p.head_rows).size()));
  CHECK(p.graph_bytes > p.num_graphs * 100);
  CHECK(p.total_bytes() == p.weight_bytes + p.rope_bytes + p.activation_bytes + p.step_bytes + p.workspace_bytes +
                               p.graph_bytes + p.kv_bytes);
  CHECK(p.left_over_bytes() == kGiB - p.total_bytes());
  CHECK(plan({.max_batch = 4, .graphs = false}, kGiB).graph_bytes == 0);
  for (const char* name : {"workspace", "graphs", "left over"})
    CHECK_THAT(format_memory_plan(p), ContainsSubstring(name));
}

TEST_CASE("A step that the user did not ask for shrinks until the pool has room") {
  const EngineConfig wish = {.max_batch = 1024, .max_step_tokens = 8192};
  EngineConfig free = wish;
  free.fit_batch = free.fit_step_tokens = true;
  const MemoryPlan roomy = plan(free, 8 * kGiB);
  CHECK(roomy.max_batch == 1024);
  CHECK(roomy.max_step_tokens == 8192);
  const int64_t bytes = plan(wish, kGiB).total_bytes() - plan(wish, kGiB).kv_bytes + (1 << 20);
  const MemoryPlan tight = plan(free, bytes);
  CHECK(tight.max_batch < 1024);
  CHECK(tight.max_step_tokens < 8192);
  CHECK(tight.max_step_tokens >= tight.max_batch);
  CHECK(tight.kv_bytes > plan(wish, bytes).kv_bytes);
  EngineConfig tokens_only = wish;
  tokens_only.fit_step_tokens = true;
  const MemoryPlan kept = plan(tokens_only, bytes);
  CHECK(kept.max_batch == 1024);
  CHECK(kept.max_step_tokens >= 1024);
  CHECK(kept.max_step_tokens < 8192);
}

TEST_CASE("Memory that runs out after planning is explained by the plan, other errors stay as they are") {
  const MemoryPlan p = plan({.max_batch = 4}, kGiB);
  const auto explained = [&](const auto& error) {
    try {
      std::rethrow_exception(explained_by(std::make_exception_ptr(error), p));
    } catch (const std::exception& e) {
      return std::string(e.what());
    }
  };
  CHECK_THAT(explained(Error(ExitCode::no_device, "cannot allocate")),
             ContainsSubstring("cannot allocate\n") && ContainsSubstring(format_memory_plan(p)));
  CHECK(explained(Error(ExitCode::io, "cannot read")) == "cannot read");
  CHECK(explained(std::runtime_error("other")) == "other");
}

TEST_CASE("Ranks divide weights, keys and the host's memory") {
  const MemoryPlan one = plan({.max_batch = 8}, kGiB), two = plan({.tensor_parallel = 2, .max_batch = 8}, kGiB);
  CHECK(two.available_bytes == one.available_bytes / 2);
  CHECK(two.kv_block_bytes == one.kv_block_bytes / 2);
  CHECK(two.kv_blocks == one.kv_blocks);
  CHECK(two.weight_bytes < one.weight_bytes * 6 / 10);
  CHECK(two.weight_bytes > one.weight_bytes / 2);  // norms are on both
}

TEST_CASE("Steps in halves are paid for: what is fetched of other ranks, and their graphs") {
  for (int ranks : {1, 2, 4}) {
    const auto with = [&](int32_t from) {
      return plan({.tensor_parallel = ranks, .max_batch = 8, .max_step_tokens = 64, .overlap_from = from}, kGiB);
    };
    const MemoryPlan whole = with(65), halved = with(64);
    CHECK(halved.activation_bytes - whole.activation_bytes ==
          (ranks == 2 ? 64 * 64 * 4 : 0));  // of hidden states, in f32
    CHECK((halved.graph_bytes > whole.graph_bytes) == (ranks == 2));
    CHECK(with(0).activation_bytes == whole.activation_bytes);  // a CPU does it only when asked to
  }
}

TEST_CASE("On GPUs large steps of two ranks are halved by themselves") {
  for (int ranks : {1, 2, 3, 8}) {
    const EngineConfig config = {.device = DeviceKind::cuda, .tensor_parallel = ranks};
    CHECK((config.halved_from() == 2048) == (ranks == 2));
    CHECK((config.halved_from() > 1 << 30) == (ranks != 2));
  }
}

TEST_CASE("A draft model is paid for, and both pools have as many blocks") {
  ModelConfig small = model();
  small.layers = 1, small.max_positions = 100;
  const ShardPlan shard(model(), 0, 1), small_shard(small, 0, 1);
  const EngineConfig config = {.max_batch = 4};
  const auto with_draft = [&](int64_t bytes) {
    return plan_memory(model(), config, shard, SmallBackend(bytes), ModelShare{small, small_shard});
  };
  const MemoryPlan alone = plan(config, kGiB), p = with_draft(kGiB);
  REQUIRE(p.draft);
  CHECK(p.draft->kv_block_bytes == p.kv_block_bytes / 3);
  CHECK(p.draft->kv_bytes == p.kv_blocks * p.draft->kv_block_bytes);
  CHECK(p.draft->weight_bytes < p.weight_bytes);
  CHECK(p.draft->max_context == 100);
  CHECK(p.draft->graph_bytes > 0);
  CHECK(p.total_bytes() == alone.total_bytes() + p.draft->sum());
  CHECK_THAT(format_memory_plan(p), ContainsSubstring("draft weights") && ContainsSubstring("draft kv blocks"));
  // Of what is left, a block takes its share in both pools.
  const int64_t bytes = p.total_bytes() - p.kv_bytes / 2;
  const MemoryPlan tight = with_draft(bytes);
  CHECK(tight.kv_blocks ==
        std::min((bytes - p.total_bytes()) / p.block_bytes() + p.kv_blocks, bytes / 4 / p.block_bytes()));
  CHECK(tight.left_over_bytes() >= 0);
}

TEST_CASE("A step holds one token of every sequence, and the context is no longer than asked for") {
  const MemoryPlan p = plan({.max_batch = 100, .max_step_tokens = 10, .max_context = 100}, kGiB);
  CHECK(p.max_step_tokens == 100);
  CHECK(p.max_context == 100);
  CHECK(plan({.max_context = 100000}, kGiB).max_context == 512);
  const StepCapacity capacity = step_capacity(p);
  CHECK(capacity.rows == 100);
  CHECK(capacity.table_entries == 100 * 2);
  CHECK(capacity.head_rows >= 100 + p.head_rows);
  CHECK(p.head_rows >= 100);
  CHECK(p.vocab == 512);
  CHECK(p.step_bytes >= 100 * (512 * 2 + kMaxLogitEdits * 12));  // what slots keep is paid for
}

}  // namespace

TEST_CASE("The logits of a few sequences' drafts exist at once") {
  CHECK(plan({.max_batch = 1}, kGiB).head_rows == 1);
  CHECK(plan({.max_batch = 1, .speculation = Speculation::ngram}, kGiB).head_rows == 1 + kMaxDrafts);
  CHECK(plan({.max_batch = 1000, .speculation = Speculation::ngram}, kGiB).head_rows == 512);
}

}  // namespace penstock
