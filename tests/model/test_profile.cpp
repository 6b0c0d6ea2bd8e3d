// Runs with marks between their ops: the same answers, and every op counted.
#include <map>

#include "engine/fleet.h"
#include "tests/support/catch.h"
#include "tests/support/golden.h"

namespace penstock {
namespace {

struct Outcome {
  std::map<uint64_t, SequenceOutput> outputs;
  EngineStats stats;
};

// Greedy, sampled with edited logits (so that slots are prepared), and scored.
std::vector<SequenceInput> workload(const test::Golden& golden) {
  std::vector<SequenceInput> all(6);
  for (uint64_t i = 0; i < all.size(); ++i) {
    SequenceInput& input = all[i];
    input.tag = input.request = i;
    input.prompt = golden.answers[i / 2].prompt;
    input.sampling.temperature = i % 2 ? 0.8f : 0;
    input.sampling.frequency_penalty = i % 2 ? 0.5f : 0;
    input.sampling.seed = i;
    input.stop.max_tokens = 24;
  }
  SequenceInput& scored = all.back();
  scored.prompt = golden.scores[0].ids;
  scored.score_from = golden.scores[0].score_from;
  scored.stop.max_tokens = 0;
  return all;
}

Outcome run(const std::string& name, const EngineConfig& config) {
  const ModelFolder folder = read_model_folder(test::model_path(name));
  const ModelConfig model = parse_model_config(folder.config, folder.generation_config, folder.path);
  StageTimes times;
  Outcome outcome;
  Fleet engine(folder, model, config, times);
  std::vector<SequenceInput> inputs = workload(test::read_golden(name));
  const size_t count = inputs.size();
  for (SequenceInput& input : inputs) engine.add(std::move(input));
  while (outcome.outputs.size() < count)
    for (SequenceOutput& output : engine.take_finished(std::chrono::seconds(60)))
      outcome.outputs[output.tag] = std::move(output);
  outcome.stats = engine.stats();
  return outcome;
}

void check_equal(const Outcome& a, const Outcome& b) {
  for (const auto& [tag, output] : a.outputs) {
    INFO("sequence " << tag << " " << output.error);
    const SequenceOutput& other = b.outputs.at(tag);
    CHECK(output.tokens == other.tokens);
    REQUIRE(output.scores.size() == other.scores.size());
    for (size_t i = 0; i < output.scores.size(); ++i) CHECK(output.scores[i].logprob == other.scores[i].logprob);
  }
}

// What the decoder calls in a step with one pass of the head: kMaxBatch rows are one.
constexpr int32_t kMaxBatch = 512;
std::map<Op, int64_t> calls_of_step(const ModelConfig& model, int64_t parts) {
  const int64_t layers = model.layers;
  return {{Op::embed, 1},
          {Op::qkv, parts * layers},
          {Op::output, parts * layers},
          {Op::gate_up, parts * layers},
          {Op::down, parts * layers},
          {Op::logits, 1},
          {Op::rms_norm, parts * (1 + (model.sandwich_norms ? 2 * layers : 0))},
          {Op::add_rms_norm, parts * 2 * layers},
          {Op::qk_norm_rope_store, layers},
          {Op::paged_attention, layers},
          {Op::gated_mul, parts * layers},
          {Op::gather_rows, 1},
          {Op::soft_cap, model.logit_soft_cap > 0 ? 1 : 0},
          {Op::sample, 1},
          {Op::score, 1}};
}

// Steps of `halved_from` tokens and more are computed in two halves.
void check_calls(const EngineStats& stats, const ModelConfig& model, int64_t halved_from = INT64_MAX) {
  int64_t timed = 0;
  for (const auto& [key, steps] : stats.account.classes()) {
    const std::map<Op, int64_t> wanted = calls_of_step(model, key.second >= halved_from ? 2 : 1);
    timed += steps.timed_steps;
    double seconds = 0;
    for (int i = 0; i < kNumOps; ++i) {
      const auto op = wanted.find(static_cast<Op>(i));
      INFO(op_name(static_cast<Op>(i)) << " in steps of " << key.second);
      CHECK(steps.ops[i].calls == steps.timed_steps * (op == wanted.end() ? 0 : op->second));
      CHECK((steps.ops[i].calls == 0 || steps.ops[i].seconds > 0));
      seconds += steps.ops[i].seconds;
      // The account knows of the same ops: what is called has work, unless no row of the step was of its kind.
      const bool head_kind = op != wanted.end() && (op->first == Op::sample || op->first == Op::score);
      if (!head_kind) CHECK((steps.timed_work[i].bytes() > 0) == (steps.ops[i].calls > 0));
    }
    CHECK(seconds <= steps.timed_seconds);
  }
  CHECK(timed > 0);
}

TEST_CASE("timing the ops changes no answer and counts every op", "[tiny]") {
  for (std::string name : {"tiny-llama", "tiny-gemma2"}) {
    const ModelFolder folder = read_model_folder(test::model_path(name));
    const ModelConfig model = parse_model_config(folder.config, folder.generation_config, folder.path);
    const Outcome plain = run(name, {.threads = 2});
    for (const auto& [key, steps] : plain.stats.account.classes()) CHECK(steps.timed_steps == 0);
    for (bool graphs : {true, false})
      for (int depth : {1, 2, 4}) {
        DYNAMIC_SECTION(name << ", graphs " << graphs << ", depth " << depth) {
          const Outcome timed = run(
              name,
              {.threads = 2, .max_batch = kMaxBatch, .steps_in_flight = depth, .graphs = graphs, .profile_ops = true});
          check_equal(plain, timed);
          check_calls(timed.stats, model);
        }
      }
    DYNAMIC_SECTION(name << ", two ranks") {
      const Outcome timed =
          run(name, {.threads = 2, .tensor_parallel = 2, .max_batch = kMaxBatch, .profile_ops = true});
      check_calls(timed.stats, model);
    }
    DYNAMIC_SECTION(name << ", two ranks, large steps in halves") {
      EngineConfig config = {.threads = 2, .tensor_parallel = 2, .max_batch = kMaxBatch, .profile_ops = true};
      config.overlap_from = 16;
      const Outcome timed = run(name, config);
      check_equal(run(name, {.threads = 2, .tensor_parallel = 2}), timed);
      check_calls(timed.stats, model, config.overlap_from);
    }
  }
}

}  // namespace
}  // namespace penstock
