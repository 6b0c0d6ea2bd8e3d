// When a step's size is recorded, and when its products are timed.
#include "engine/step/model_runner.h"
#include "tests/support/catch.h"

namespace penstock {
namespace {

// Remembers at which steps it was asked to tune.
class TunedBackend : public ProfilingBackend {
 public:
  using ProfilingBackend::ProfilingBackend;
  void set_autotune(bool on) override {
    if (on) tuned.push_back(step);
  }
  int64_t step = 0;
  std::vector<int64_t> tuned;
};

ModelConfig tiny() {
  ModelConfig m;
  m.hidden = 16, m.layers = 1, m.heads = 2, m.kv_heads = 1, m.head_dim = 8, m.mlp = 16, m.vocab = 20;
  m.max_positions = 16;
  m.attention_scale = 0.35f;
  m.layer.resize(1);
  return m;
}

struct Seen {
  std::vector<int64_t> recorded, warming, tuned;
};

// The same step of one token, over and over.
Seen run(bool graphs, int64_t steps) {
  const ModelConfig model = tiny();
  const EngineConfig config{.threads = 1,
                            .max_batch = 1,
                            .max_step_tokens = 16,
                            .max_context = 16,
                            .kv_blocks = 1,
                            .block_size = 16,
                            .graphs = graphs,
                            .random_weights = true};
  TunedBackend backend(make_backend({.threads = 1}));
  const auto communicators = make_thread_communicators(1);
  const ShardPlan shard(model, 0, 1);
  StageTimes times;
  ModelRunner runner(model, config, plan_memory(model, config, shard, backend), shard, nullptr, 1, backend,
                     *communicators[0], times);
  StepPlan plan;
  plan.input_ids = {3};
  plan.rows = {{.slot = 0, .first_token = 0, .num_tokens = 1, .first_position = 0, .first_block = 0, .num_blocks = 1}};
  plan.block_tables = {0};
  plan.head = {{.slot = 0, .position = 1}};
  plan.head_tokens = {0};
  Seen seen;
  for (int64_t step = 1; step <= steps; ++step) {
    plan.id = step, backend.step = step;
    ModelRunner::Timing timing;
    const StepResult result = runner.run(plan, timing);
    CHECK(result.warming == timing.warming);
    if (timing.recorded) seen.recorded.push_back(step);
    if (timing.warming) seen.warming.push_back(step);
  }
  seen.tuned = backend.tuned;
  return seen;
}

using Steps = std::vector<int64_t>;
constexpr int64_t kOften = PassRunner::kUsesBeforeTuning + 1;

TEST_CASE("a size is recorded when it comes again, and anew with its products tuned when it has come often") {
  const Seen seen = run(true, kOften + 5);
  CHECK(seen.recorded == Steps{2, kOften});
  CHECK(seen.warming == Steps{1, 2, kOften});
  REQUIRE(seen.tuned.size() >= 2);  // trunk and head; the CPU's graphs are run through again each time
  CHECK(seen.tuned.front() == kOften);
}

TEST_CASE("without graphs products are tuned as late, and nothing is recorded") {
  const Seen seen = run(false, kOften + 5);
  CHECK(seen.recorded == Steps{});
  CHECK(seen.warming == Steps{1, kOften});
  CHECK(seen.tuned == Steps{kOften, kOften});
}

}  // namespace
}  // namespace penstock
