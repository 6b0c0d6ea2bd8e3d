// When a step's size is recorded, and when its products are timed.
#include "engine/step/model_runner.h"
#include "tests/support/catch.h"

namespace penstock {
namespace {

// Remembers at which steps it recorded, and was asked to tune.
class TunedBackend : public ProfilingBackend {
 public:
  using ProfilingBackend::ProfilingBackend;
  std::unique_ptr<Graph> record(std::function<void()> verbs) override {
    recorded.push_back(step);
    return ProfilingBackend::record(std::move(verbs));
  }
  void set_autotune(bool on) override {
    if (on) tuned.push_back(step);
  }
  int64_t step = 0;
  std::vector<int64_t> recorded, tuned;
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
  std::vector<int64_t> recorded, warming;  // by what the runner says
  std::vector<int64_t> records, tuned;     // by what the backend was asked for
};

// A token of one sequence; with `drafts`, made by a model that is like the first, they are fed too.
StepPlan plan_of(int32_t drafts) {
  StepPlan plan;
  plan.input_ids = {3};
  plan.rows = {
      {.slot = 0, .first_token = 0, .num_tokens = 1 + drafts, .first_position = 0, .first_block = 0, .num_blocks = 1}};
  plan.block_tables = {0};
  for (int32_t i = 0; i <= drafts; ++i) {
    if (i > 0) plan.input_ids.push_back(input_from_draft(0, i - 1, 1));
    plan.head.push_back({.slot = 0,
                         .position = 1 + i,
                         .draw = drafts > 0 ? DrawKind::verify : DrawKind::next,
                         .drafted = static_cast<int16_t>(i)});
    plan.head_tokens.push_back(i);
  }
  if (drafts == 0) return plan;
  plan.verify = {{.slot = 0, .first = 0, .drafts = drafts}};
  plan.draft_ids = {3};
  plan.drafts = {{.row = 0,
                  .first_id = 0,
                  .num_ids = 1,
                  .first_position = 0,
                  .num_drafts = drafts,
                  .head = {.slot = 0, .position = 1, .draw = DrawKind::draft}}};
  return plan;
}

// The same step over and over.
Seen run(bool graphs, int64_t steps, int32_t drafts = 0) {
  const ModelConfig model = tiny();
  const EngineConfig config{.threads = 1,
                            .max_batch = 1,
                            .max_step_tokens = 16,
                            .max_context = 16,
                            .kv_blocks = 1,
                            .block_size = 16,
                            .graphs = graphs,
                            .speculation = drafts > 0 ? Speculation::draft : Speculation::off,
                            .random_weights = true};
  TunedBackend backend(make_backend({.threads = 1}));
  const auto communicators = make_thread_communicators(1);
  const ShardPlan shard(model, 0, 1);
  StageTimes times;
  std::optional<DraftShare> share;
  std::optional<ModelShare> draft;
  if (drafts > 0) share.emplace(DraftShare{model, shard, nullptr}), draft.emplace(ModelShare{model, shard});
  const MemoryPlan memory = plan_memory(model, config, shard, backend, draft);
  ModelRunner runner(model, config, memory, shard, nullptr, 1, backend, *communicators[0], times, share);
  StepPlan plan = plan_of(drafts);
  Seen seen;
  for (int64_t step = 1; step <= steps; ++step) {
    plan.id = step, backend.step = step;
    ModelRunner::Timing timing;
    const StepResult result = runner.run(plan, timing);
    CHECK(result.warming == timing.warming);
    if (timing.recorded) seen.recorded.push_back(step);
    if (timing.warming) seen.warming.push_back(step);
  }
  seen.records = backend.recorded, seen.tuned = backend.tuned;
  return seen;
}

using Steps = std::vector<int64_t>;
constexpr int64_t kOften = PassRunner::kUsesBeforeTuning + 1;

TEST_CASE("a size is recorded when it comes again, and anew with its products tuned when it has come often") {
  const Seen seen = run(true, kOften + 5);
  CHECK(seen.recorded == Steps{2, kOften});
  CHECK(seen.records == Steps{2, 2, kOften, kOften});  // trunk and head
  CHECK(seen.warming == Steps{1, 2, kOften});
  REQUIRE(!seen.tuned.empty());  // more than once each: the CPU's graphs are run through again
  CHECK(seen.tuned.front() == kOften);
}

TEST_CASE("without graphs products are tuned as late, and nothing is recorded") {
  const Seen seen = run(false, kOften + 5);
  CHECK(seen.recorded == Steps{});
  CHECK(seen.warming == Steps{1, kOften});
  CHECK(seen.tuned == Steps{kOften, kOften});
}

TEST_CASE("a draft model's size is tuned once, though it comes several times a step") {
  constexpr int64_t kDrafts = 3, kDraftOften = (kOften + kDrafts - 2) / kDrafts + 1;  // it has come often before this
  const Seen seen = run(true, kOften + 5, kDrafts);
  CHECK(seen.recorded == Steps{2, kDraftOften, kOften});
  CHECK(seen.records == Steps{2, 2, 2, 2, kDraftOften, kDraftOften, kOften, kOften});
}

}  // namespace
}  // namespace penstock
