// Ranks draw what one rank does, by every sampling parameter: from candidates, from tallies, and from gathered rows.
#include <algorithm>
#include <cmath>
#include <limits>

#include "engine/fleet.h"
#include "tests/support/catch.h"
#include "tests/support/golden.h"

namespace penstock {
namespace {

using Answers = std::vector<SequenceOutput>;

constexpr int32_t kKinds = 10;

SamplingParams sampling_of_kind(int32_t kind, const ModelConfig& model) {
  SamplingParams how;
  how.seed = 1000u + kind;
  const auto id = [&](int32_t i) { return static_cast<int32_t>((i * 37 + 11) % model.vocab); };
  if (kind == 1) how.top_p = 0.9f;
  if (kind == 2) how.top_k = 20;
  if (kind == 3) how.min_p = 0.1f;
  if (kind == 4) how.temperature = 0.6f, how.top_k = 50, how.top_p = 0.95f;
  if (kind == 5) how.temperature = 0, how.repetition_penalty = 1.3f;
  if (kind == 6) how.repetition_penalty = 1.2f, how.top_p = 0.8f;
  if (kind == 7) how.frequency_penalty = 0.7f, how.presence_penalty = 0.4f, how.top_k = 8, how.top_p = 0.7f;
  if (kind == 8) how.top_logprobs = 3, how.top_p = 0.9f;
  if (kind == 7 || kind == 9) how.logit_bias = {{id(1), 4}, {id(2), -std::numeric_limits<float>::infinity()}};
  if (kind == 9) how.temperature = 1.5f, how.min_p = 0.02f;
  std::ranges::sort(how.logit_bias, {}, &LogitEdit::id);
  return how;
}

Answers answers_of(const std::string& name, int32_t ranks) {
  const test::Golden golden = test::read_golden(name);
  const ModelFolder folder = read_model_folder(test::model_path(name));
  const ModelConfig model = parse_model_config(folder.config, folder.generation_config, folder.path);
  StageTimes times;
  Fleet engine(folder, model, {.threads = 2, .tensor_parallel = ranks, .block_size = 16, .poison_memory = true}, times);
  for (int32_t kind = 0; kind < kKinds; ++kind) {
    SequenceInput input;
    input.tag = input.request = kind;
    input.prompt = golden.answers[kind % golden.answers.size()].prompt;
    input.sampling = sampling_of_kind(kind, model);
    input.stop.max_tokens = 24;
    engine.add(std::move(input));
  }
  Answers answers(kKinds);
  for (int32_t done = 0; done < kKinds;)
    for (SequenceOutput& output : engine.take_finished(std::chrono::seconds(60))) {
      REQUIRE(output.error == "");
      answers[output.tag] = std::move(output), ++done;
    }
  return answers;
}

}  // namespace

TEST_CASE("ranks draw what one does, in every family", "[tiny]") {
  int different = 0;
  for (const std::string& name : test::tiny_models()) {
    const Answers one = answers_of(name, 1);
    for (int32_t ranks : {2, 4}) {
      const Answers other = answers_of(name, ranks);
      for (int32_t kind = 0; kind < kKinds; ++kind) {
        INFO(name << ", " << ranks << " ranks, kind " << kind);
        REQUIRE(one[kind].tokens.size() == 24);
        REQUIRE(other[kind].tokens.size() == 24);
        if (other[kind].tokens != one[kind].tokens) {
          ++different;
          continue;
        }
        for (size_t i = 0; i < 24; ++i) CHECK(std::fabs(other[kind].logprobs[i] - one[kind].logprobs[i]) <= 1e-4);
      }
    }
  }
  // Ranks add in another order: once in some 10^5 tokens two keys are so close that this decides.
  CHECK(different <= 1);
}

}  // namespace penstock
