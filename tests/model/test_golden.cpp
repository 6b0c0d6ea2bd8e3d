// Whole-model tests: greedy ids equal Hugging Face transformers in f32, and logits are within 1e-4 of its, whatever the
// batch, chunk, cache, pool, graphs, depth or number of ranks.
#include <algorithm>
#include <cmath>
#include <map>

#include "engine/fleet.h"
#include "tests/support/catch.h"
#include "tests/support/compare.h"
#include "tests/support/golden.h"
#include "tests/support/logits.h"

namespace penstock {
namespace {

using test::Golden;

struct Answers {
  std::map<uint64_t, SequenceOutput> by_tag;
  EngineStats stats;
};

SequenceInput greedy_input(uint64_t tag, const test::GoldenAnswer& answer, const ModelConfig& model, int32_t limit) {
  SequenceInput input;
  input.tag = input.request = tag;
  input.prompt = answer.prompt;
  input.sampling.temperature = 0;
  input.stop.stop_ids = model.eos_ids;
  input.stop.max_tokens = limit;
  return input;
}

// The largest difference; infinite when any value is not a number.
double distance(const float* logits, const std::vector<float>& expected) {
  double worst = 0;
  for (size_t i = 0; i < expected.size(); ++i) {
    const double difference = std::fabs(double{logits[i]} - expected[i]);
    worst = difference <= worst ? worst : std::isnan(difference) ? INFINITY : difference;
  }
  return worst;
}

class Fixture {
 public:
  explicit Fixture(const std::string& name)
      : golden(test::read_golden(name)),
        folder(read_model_folder(test::model_path(name))),
        model(parse_model_config(folder.config, folder.generation_config, folder.path)) {}

  // Runs the golden prompts `repeat` times over and compares every answer.
  EngineStats check_answers(EngineConfig config, size_t count = SIZE_MAX, int repeat = 1) {
    config.poison_memory = true;
    if (!config.threads) config.threads = 2;
    StageTimes times;
    Fleet engine(folder, model, config, times);
    count = std::min(count, golden.answers.size());
    size_t right = 0;
    for (int round = 0; round < repeat; ++round) {
      for (size_t i = 0; i < count; ++i) engine.add(greedy_input(i, golden.answers[i], model, 64));
      for (size_t done = 0; done < count;) {
        for (const SequenceOutput& output : engine.take_finished(std::chrono::seconds(60))) {
          INFO("prompt " << output.tag << " " << output.error);
          CHECK(output.tokens == golden.answers[output.tag].tokens);
          right += output.tokens == golden.answers[output.tag].tokens;
          ++done;
        }
      }
    }
    CHECK(right == count * repeat);
    return engine.stats();
  }

  void check_scores(EngineConfig config) {
    config.threads = 2;
    StageTimes times;
    Fleet engine(folder, model, config, times);
    for (size_t i = 0; i < golden.scores.size(); ++i) {
      SequenceInput input;
      input.tag = input.request = i;
      input.prompt = golden.scores[i].ids;
      input.score_from = golden.scores[i].score_from;
      input.stop.max_tokens = 0;
      engine.add(std::move(input));
    }
    for (size_t done = 0; done < golden.scores.size();) {
      for (const SequenceOutput& output : engine.take_finished(std::chrono::seconds(60))) {
        const test::GoldenScore& expected = golden.scores[output.tag];
        REQUIRE(output.scores.size() == expected.logprobs.size());
        for (size_t j = 0; j < expected.logprobs.size(); ++j) {
          CHECK(std::fabs(output.scores[j].logprob - expected.logprobs[j]) <= 1e-3);
          CHECK(output.scores[j].argmax == expected.argmax[j]);
        }
        ++done;
      }
    }
  }

  void check_logits(EngineConfig config) {
    config.poison_memory = true;
    std::vector<std::vector<int32_t>> sequences;
    for (const test::GoldenScore& score : golden.scores) sequences.push_back(score.ids);
    size_t compared = 0, wanted = 0;
    for (const test::GoldenScore& score : golden.scores) wanted += score.logits_at.size();
    double worst = 0;
    test::each_logits(model, SafetensorsFolder(folder.path), config, sequences,
                      [&](size_t sequence, int32_t position, const float* logits) {
                        const test::GoldenScore& score = golden.scores[sequence];
                        auto at = std::find(score.logits_at.begin(), score.logits_at.end(), position);
                        if (at == score.logits_at.end()) return;
                        ++compared;
                        worst = std::max(worst, distance(logits, score.logits[at - score.logits_at.begin()]));
                      });
    REQUIRE(wanted > 0);
    CHECK(compared == wanted);
    CHECK(worst <= 1e-4);
  }

  // Of every position of the golden scores.
  std::vector<float> all_logits(const EngineConfig& config) {
    std::vector<std::vector<int32_t>> sequences;
    for (const test::GoldenScore& score : golden.scores) sequences.push_back(score.ids);
    std::vector<float> all;
    test::each_logits(
        model, SafetensorsFolder(folder.path), config, sequences,
        [&](size_t, int32_t, const float* logits) { all.insert(all.end(), logits, logits + model.vocab); });
    return all;
  }

  Golden golden;
  ModelFolder folder;
  ModelConfig model;
};

}  // namespace

TEST_CASE("every family answers as transformers does", "[tiny]") {
  const std::vector<std::string> names = test::tiny_models();
  REQUIRE(names.size() >= 19);
  for (const std::string& name : names) {
    DYNAMIC_SECTION(name) {
      Fixture fixture(name);
      fixture.check_logits({.max_step_tokens = 512});
      fixture.check_logits({.max_step_tokens = 7, .block_size = 4});
      for (int ranks : {2, 4}) fixture.check_logits({.tensor_parallel = ranks, .max_step_tokens = 24});
      fixture.check_scores({});
      fixture.check_scores({.tensor_parallel = 2, .max_step_tokens = 7, .block_size = 4});
      fixture.check_answers({});
      fixture.check_answers({.max_batch = 1, .block_size = 3});
      fixture.check_answers({.max_batch = 7, .max_step_tokens = 9, .block_size = 16});
      for (int ranks : {2, 4}) fixture.check_answers({.tensor_parallel = ranks, .block_size = 16});
    }
  }
}

TEST_CASE("no setting changes an answer", "[tiny]") {
  for (std::string name : {"tiny-llama", "tiny-llama3", "tiny-gemma3", "tiny-phi3"}) {
    DYNAMIC_SECTION(name) {
      Fixture fixture(name);
      for (int batch : {1, 7, 64}) fixture.check_answers({.max_batch = batch});
      for (int chunk : {64, 65, 512}) fixture.check_answers({.max_step_tokens = chunk});
      for (int block : {1, 3, 16, 32, 64, 128}) fixture.check_answers({.block_size = block});
      for (bool graphs : {false, true}) fixture.check_answers({.graphs = graphs});
      for (int depth : {1, 2, 3}) fixture.check_answers({.steps_in_flight = depth});
    }
  }
}

TEST_CASE("a step in two halves, whose sums over ranks are taken apart, changes no answer", "[tiny]") {
  for (const std::string& name : test::tiny_models()) {
    DYNAMIC_SECTION(name) {
      Fixture fixture(name);
      for (int ranks : {2, 4}) {
        const auto halved = fixture.all_logits({.tensor_parallel = ranks, .max_step_tokens = 25, .overlap_from = 2});
        const auto whole = fixture.all_logits({.tensor_parallel = ranks, .max_step_tokens = 25});
        CHECK(bit_difference(halved, whole) == "");
        fixture.check_answers({.tensor_parallel = ranks, .block_size = 16, .overlap_from = ranks == 2 ? 1 : 9});
      }
    }
  }
}

TEST_CASE("a warm prefix cache changes no answer", "[tiny]") {
  for (const std::string& name : test::tiny_models()) {
    DYNAMIC_SECTION(name) {
      Fixture fixture(name);
      for (bool cache : {false, true}) {
        EngineStats stats = fixture.check_answers({.block_size = 16, .prefix_cache = cache}, SIZE_MAX, 2);
        CHECK((stats.scheduler.cached_tokens > 0) == cache);
      }
    }
  }
}

TEST_CASE("preemption changes no answer", "[tiny]") {
  for (const std::string& name : test::tiny_models()) {
    DYNAMIC_SECTION(name) {
      Fixture fixture(name);
      EngineStats stats = fixture.check_answers({.kv_blocks = 40, .block_size = 8});
      CHECK(stats.scheduler.preemptions > 0);
    }
  }
}

TEST_CASE("SmolLM2 answers as transformers does", "[smollm2]") {
  Fixture fixture("smollm2");
  REQUIRE(fixture.golden.answers.size() >= 32);
  SECTION("default batch, graphs, prefix cache, two steps in flight") { fixture.check_answers({}); }
  SECTION("scores") { fixture.check_scores({}); }
  SECTION("batch 1") { fixture.check_answers({.max_batch = 1}, 6); }
  SECTION("batch 7, chunks of 16 tokens") { fixture.check_answers({.max_batch = 7, .max_step_tokens = 16}, 14); }
  SECTION("warm prefix cache, blocks of 16") {
    EngineStats stats = fixture.check_answers({.block_size = 16}, 12, 2);
    CHECK(stats.scheduler.cached_tokens > 0);
  }
  SECTION("preemption") {
    EngineStats stats = fixture.check_answers({.kv_blocks = 40, .block_size = 16}, 16);
    CHECK(stats.scheduler.preemptions > 0);
  }
  SECTION("eager") { fixture.check_answers({.graphs = false}, 16); }
  SECTION("three ranks") { fixture.check_answers({.tensor_parallel = 3}, 12); }
}

}  // namespace penstock
