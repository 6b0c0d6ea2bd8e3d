// Whole models in bf16, on the CPU or on a GPU, beside f32 on the CPU, which test_golden.cpp holds to transformers.
#include <cstring>

#include "engine/model/rope_table.h"
#include "tests/support/bf16_fixture.h"
#include "tests/support/step_driver.h"
#include "tests/support/test_gpus.h"

namespace penstock {
namespace {

using test::kBetweenRuns;
using test::kToF32;
using test::on_cuda;
using test::reference;
using test::tested;
using test::Tokens;
using Fixture = test::Bf16Fixture;

std::vector<Tokens> tokens_of(const std::vector<SequenceOutput>& outputs) {
  std::vector<Tokens> all;
  for (const SequenceOutput& output : outputs) all.push_back(output.tokens);
  return all;
}
std::vector<Tokens> tokens_of(const test::Golden& golden, size_t count) {
  std::vector<Tokens> all;
  for (size_t i = 0; i < std::min(count, golden.answers.size()); ++i) all.push_back(golden.answers[i].tokens);
  return all;
}

void check_equal(const std::vector<SequenceOutput>& a, const std::vector<SequenceOutput>& b) {
  for (size_t i = 0; i < a.size(); ++i) {
    INFO("prompt " << i);
    CHECK(a[i].tokens == b[i].tokens);
    CHECK(a[i].logprobs == b[i].logprobs);
  }
}

// Chunks, whole prompts and decoding in steps that are buckets, so that graphs pad nothing.
std::vector<HeadResult> mixed_steps(const Fixture& fixture, const EngineConfig& config, bool host_products = false) {
  std::vector<Tokens> prompts(8);
  for (int32_t s = 0; s < 8; ++s)
    for (int32_t i = 0; i < (s < 4 ? 16 : 28); ++i)
      prompts[s].push_back(static_cast<int32_t>((s * 37 + i * 11 + 5) % fixture.model.vocab));
  test::StepDriver driver(fixture.model, fixture.files, config, prompts, 48, host_products);
  std::vector<HeadResult> results;
  auto step = [&](int32_t first, int32_t second) {  // tokens of the first four sequences, and of the others
    std::vector<test::StepDriver::Row> rows;
    for (int32_t s = 0; s < 8; ++s) rows.push_back({s, s < 4 ? first : second});
    for (const HeadResult& result : driver.step(rows)) results.push_back(result);
  };
  step(8, 8), step(8, 8), step(1, 3), step(1, 9);
  for (int i = 0; i < 12; ++i) step(1, 1);
  return results;
}

}  // namespace

TEST_CASE("bf16 logits are within the bound of f32's, in every family", "[tiny][bf16]") {
  for (const std::string& name : test::tiny_models()) {
    DYNAMIC_SECTION(name) {
      Fixture fixture(name);
      const auto texts = fixture.texts(SIZE_MAX);
      const auto want = fixture.logits(reference(), texts);
      fixture.check_logits(tested({.max_step_tokens = 512}), texts, want, 0.9);
      fixture.check_logits(tested({.max_step_tokens = 7, .block_size = 16}), texts, want, 0.9);
      fixture.check_logits(tested({.max_step_tokens = 24, .block_size = 128}), texts, want, 0.9);
    }
  }
}

TEST_CASE("in bf16 graphs change no bit", "[tiny][bf16]") {
  for (const std::string& name : test::tiny_models()) {
    DYNAMIC_SECTION(name) {
      Fixture fixture(name);
      const auto with = mixed_steps(fixture, tested({.block_size = 16, .graphs = true}));
      const auto without = mixed_steps(fixture, tested({.block_size = 16, .graphs = false}));
      REQUIRE(with.size() == 4 * 2 + 8 * 13);
      REQUIRE(without.size() == with.size());
      for (size_t i = 0; i < with.size(); ++i) {
        INFO("result " << i);
        CHECK(with[i].flags == 0);
        CHECK(std::memcmp(&with[i], &without[i], sizeof with[i]) == 0);
      }
    }
  }
}

TEST_CASE("in bf16 the number of steps in flight changes no bit", "[tiny][bf16]") {
  for (std::string name : {"tiny-llama", "tiny-gemma3", "tiny-phi4"}) {
    DYNAMIC_SECTION(name) {
      Fixture fixture(name);
      auto run = [&](int32_t depth, bool stops) {
        return fixture.answer(tested({.max_batch = 1, .prefix_cache = false, .steps_in_flight = depth}), 8, stops);
      };
      for (bool stops : {false, true}) {
        const auto one = run(1, stops);
        for (int32_t depth : {2, 3}) check_equal(run(depth, stops), one);
      }
    }
  }
}

TEST_CASE("bf16 answers part from f32's, and from each other, only where it is close", "[tiny][bf16]") {
  for (const std::string& name : test::tiny_models()) {
    DYNAMIC_SECTION(name) {
      Fixture fixture(name);
      const auto base = tokens_of(fixture.answer(tested()));
      fixture.check_close(base, tokens_of(fixture.golden, SIZE_MAX), kToF32);
      auto check = [&](const EngineConfig& config, int rounds = 1) {
        fixture.check_close(tokens_of(fixture.answer(tested(config), SIZE_MAX, true, rounds)), base, kBetweenRuns);
      };
      for (int32_t block_size : {16, 32, 128}) check({.block_size = block_size});
      for (int32_t batch : {1, 7}) check({.max_batch = batch});
      check({.max_step_tokens = 65, .block_size = 16, .prefix_cache = false});
      check({.block_size = 16}, 2);  // the second round finds its prompts in the cache
      check({.kv_blocks = 24, .block_size = 16});
      check({.steps_in_flight = 3});
      check({.graphs = false});
    }
  }
}

TEST_CASE("in bf16 drafts change no more than a batch does", "[tiny][bf16][drafts]") {
  for (const std::string& name : test::tiny_models()) {
    DYNAMIC_SECTION(name) {
      Fixture fixture(name);
      const auto base = tokens_of(fixture.answer(tested()));
      // Drafts of the model for itself, or of its texts, in few rows and in many.
      auto check = [&](Speculation speculation, int32_t drafts, EngineConfig config, int rounds = 1) {
        config.speculation = speculation, config.fixed_drafts = drafts;
        SpeculationStats stats;
        const auto answers = fixture.answer(tested(config), SIZE_MAX, true, rounds, &stats);
        fixture.check_close(tokens_of(answers), base, kBetweenRuns);
        return stats;
      };
      const SpeculationStats own = check(Speculation::draft, 4, {.block_size = 16});
      CHECK(own.steps > 0);
      // A draft model knows no second table for long texts.
      if (RopeLayout(fixture.model, fixture.model.max_positions).long_from == 0)
        CHECK(static_cast<double>(own.model.accepted[0]) >= 0.9 * static_cast<double>(own.model.proposed[0]));
      check(Speculation::draft, 15, {.max_batch = 2, .block_size = 32, .prefix_cache = false});
      check(Speculation::draft, 7, {.max_batch = 1});
      check(Speculation::draft, 3, {.kv_blocks = 24, .block_size = 16}, 2);  // preempts, and finds prompts in the cache
      check(Speculation::ngram, 6, {.block_size = 16});
      check(Speculation::draft, 2, {.block_size = 16, .graphs = false});
    }
  }
}

TEST_CASE("in bf16 ranks answer as one does", "[tiny][bf16][ranks]") {
  for (const std::string& name : test::tiny_models()) {
    DYNAMIC_SECTION(name) {
      Fixture fixture(name);
      const auto base = tokens_of(fixture.answer(tested()));
      const auto texts = fixture.texts(4);
      const auto want = fixture.logits(reference(), texts);
      for (int32_t ranks : {2, 4}) {
        std::vector<int> devices;
        for (int32_t r = 0; r < ranks; ++r) devices.push_back(r % test::test_gpus());
        auto config = [&](EngineConfig one) {
          one.tensor_parallel = ranks;
          one.devices = devices;
          return tested(one);
        };
        INFO(ranks << " ranks");
        fixture.check_logits(config({.max_step_tokens = 24, .block_size = 16}), texts, want, 0.9);
        for (bool graphs : {true, false})
          fixture.check_close(tokens_of(fixture.answer(config({.block_size = 16, .graphs = graphs}))), base,
                              kBetweenRuns);
        // In halves, with one token in the smaller, and where only prefill is.
        fixture.check_logits(config({.max_step_tokens = 25, .block_size = 16, .overlap_from = 2}), texts, want, 0.9);
        for (int32_t from : {2, 12})
          fixture.check_close(tokens_of(fixture.answer(config({.block_size = 16, .overlap_from = from}))), base,
                              kBetweenRuns);
        EngineConfig drafting = config({.block_size = 16, .overlap_from = 6});
        drafting.speculation = Speculation::draft, drafting.fixed_drafts = 3;
        fixture.check_close(tokens_of(fixture.answer(drafting)), base, kBetweenRuns);
      }
    }
  }
}

TEST_CASE("SmolLM2 in bf16 is within the bound of f32", "[smollm2][bf16]") {
  Fixture fixture("smollm2");
  SECTION("teacher-forced, 97 % of the positions agree") {
    const auto texts = fixture.texts(on_cuda() ? SIZE_MAX : 6);
    fixture.check_logits(tested({.max_step_tokens = 512}), texts, fixture.logits(reference(), texts), 0.97);
  }
  SECTION("greedy answers part only where it is close") {
    const size_t count = on_cuda() ? SIZE_MAX : 12;
    const auto golden = tokens_of(fixture.golden, count);
    const auto base = tokens_of(fixture.answer(tested(), count));
    fixture.check_close(base, golden, kToF32);
    if (!on_cuda()) return;  // the CPU's bf16 is checked more widely on the tiny models
    for (int32_t batch : {1, 7}) {
      const auto other = tokens_of(fixture.answer(tested({.max_batch = batch})));
      fixture.check_close(other, golden, kToF32);
      fixture.check_close(other, base, kBetweenRuns);
    }
    for (int32_t block_size : {16, 32, 128})
      fixture.check_close(tokens_of(fixture.answer(tested({.block_size = block_size}))), base, kBetweenRuns);
  }
}

TEST_CASE("a tiny model's steps, small, but for products", "[.sanitize]") {
  for (const std::string& name : test::tiny_models()) {
    DYNAMIC_SECTION(name) {
      Fixture fixture(name);
      const EngineConfig config = tested({.block_size = 16, .graphs = false});
      for (const HeadResult& result : mixed_steps(fixture, config, on_cuda())) CHECK(result.flags == 0);
    }
  }
}

TEST_CASE("a tiny model's steps, small", "[.sanitize_memory]") {
  for (std::string name : {"tiny-llama", "tiny-gemma2", "tiny-qwen3"}) {
    Fixture fixture(name);
    for (const HeadResult& result : mixed_steps(fixture, tested({.block_size = 16, .graphs = false})))
      CHECK(result.flags == 0);
    CHECK(fixture.answer(tested({.max_batch = 4, .block_size = 16, .graphs = false}), 4).size() == 4);
  }
}

TEST_CASE("a tiny model's graphs, small", "[.sanitize_memory]") {
  Fixture fixture("tiny-llama");
  for (const HeadResult& result : mixed_steps(fixture, tested({.block_size = 16}))) CHECK(result.flags == 0);
  CHECK(fixture.answer(tested({.max_batch = 4, .block_size = 16}), 4).size() == 4);
}

}  // namespace penstock
