// Whole steps with drafts: the tokens are those without, and a model that drafts for itself is always right.
#include "tests/support/catch.h"
#include "tests/support/draft_driver.h"

namespace penstock {
namespace {

using test::DraftDriver;
using Sequence = DraftDriver::Sequence;

ModelConfig tiny(int64_t layers, int64_t vocab) {
  ModelConfig m;
  m.hidden = 32, m.layers = layers, m.heads = 4, m.kv_heads = 2, m.head_dim = 8, m.mlp = 64, m.vocab = vocab;
  m.max_positions = 256;
  m.attention_scale = 0.35f;
  m.layer.resize(layers);
  return m;
}

constexpr int32_t kVocab = 203;  // no multiple of the ranks

// Greedy, at a temperature, filtered, with penalties, with biases, and with all of it.
std::vector<Sequence> sequences() {
  std::vector<Sequence> all(6);
  for (int32_t s = 0; s < 6; ++s) {
    for (int32_t i = 0; i < 5 + 4 * s; ++i) all[s].prompt.push_back((s * 31 + i * 17) % kVocab);
    all[s].sampling.seed = 100 + s;
  }
  all[1].sampling.temperature = 1;
  all[2].sampling.temperature = 1.5f, all[2].sampling.top_k = 50, all[2].sampling.top_p = 0.9f;
  all[3].sampling.repetition_penalty = 1.3f, all[3].sampling.edits = 1;
  all[4].sampling.temperature = 0.8f, all[4].sampling.edits = 1;
  all[4].edits = {{.id = 3, .bias = 4}, {.id = 8, .bias = -100, .until = 30}};
  all[5].sampling.temperature = 2, all[5].sampling.min_p = 0.01f, all[5].sampling.edits = 1;
  all[5].sampling.frequency_penalty = 0.7f, all[5].sampling.presence_penalty = 0.4f;
  all[5].edits = {{.id = 5, .bias = 3}};
  return all;
}

EngineConfig config(int32_t ranks = 1, bool graphs = true, int32_t block_size = 4) {
  return {.threads = ranks,
          .tensor_parallel = ranks,
          .max_step_tokens = 128,
          .block_size = block_size,
          .steps_in_flight = 1,
          .graphs = graphs,
          .random_weights = true,
          .poison_memory = true};
}

constexpr int32_t kNew = 40, kMaxTokens = 120;

std::vector<std::vector<int32_t>> new_tokens(DraftDriver& driver) {
  std::vector<std::vector<int32_t>> all;
  for (size_t s = 0; s < 6; ++s) {
    const Sequence& sequence = driver[s];
    auto begin = sequence.tokens.begin() + static_cast<int64_t>(sequence.prompt.size());
    all.emplace_back(begin, begin + kNew);
  }
  return all;
}

// Without drafts.
std::vector<std::vector<int32_t>> plain_tokens(const ModelConfig& model, const EngineConfig& config) {
  DraftDriver driver(model, nullptr, config, kMaxTokens, sequences());
  driver.prefill(6);
  for (int32_t i = 1; i < kNew; ++i) driver.decode(0, 6, std::vector<int32_t>(6, 0));
  return new_tokens(driver);
}

bool all_have_enough(DraftDriver& driver) {
  for (size_t s = 0; s < 6; ++s)
    if (driver[s].tokens.size() < driver[s].prompt.size() + kNew) return false;
  return true;
}

// In every step each sequence wants another number of drafts, none and the most among them, as long as there is room.
void decode_with_drafts(DraftDriver& driver) {
  for (int32_t step = 0; !all_have_enough(driver); ++step) {
    std::vector<int32_t> drafts(6);
    for (int32_t s = 0; s < 6; ++s) {
      const auto length = static_cast<int32_t>(driver[s].tokens.size());
      drafts[s] = std::min((step * 5 + s * 3) % (kMaxDrafts + 1), kMaxTokens - length);
    }
    driver.decode(0, 6, drafts);
  }
}

TEST_CASE("A model that drafts for itself is always right, and changes nothing") {
  const ModelConfig model = tiny(2, kVocab);
  const DraftModel itself{model};
  const auto tokens = plain_tokens(model, config());
  for (const EngineConfig& one : {config(), config(1, false), config(2), config(1, true, 16)}) {
    for (bool early : {false, true}) {
      INFO("ranks " << one.tensor_parallel << ", graphs " << one.graphs << ", blocks of " << one.block_size);
      DraftDriver driver(model, &itself, one, kMaxTokens, sequences());
      driver.prefill(6, early);
      decode_with_drafts(driver);
      if (one.tensor_parallel == 1) CHECK(new_tokens(driver) == tokens);
      for (size_t s = 0; s < 6; ++s) {
        CHECK(driver[s].proposed > 20);
        CHECK(driver[s].accepted == driver[s].proposed);
      }
      CHECK(driver.steps_with_times() > 0);
    }
  }
}

TEST_CASE("Another model's drafts leave the tokens alone") {
  const ModelConfig model = tiny(2, kVocab);
  const DraftModel other{tiny(1, kVocab + 10)}, smaller{tiny(1, 64)};
  for (const EngineConfig& one : {config(), config(2)}) {
    const auto tokens = plain_tokens(model, one);
    for (const DraftModel* draft : {&other, &smaller}) {
      DraftDriver driver(model, draft, one, kMaxTokens, sequences());
      driver.prefill(6);
      decode_with_drafts(driver);
      CHECK(new_tokens(driver) == tokens);
      int64_t proposed = 0, accepted = 0;
      for (size_t s = 0; s < 6; ++s) proposed += driver[s].proposed, accepted += driver[s].accepted;
      CHECK(proposed > 100);
      CHECK(accepted < proposed / 2);
    }
  }
}

TEST_CASE("What is no token is never drafted") {
  const ModelConfig model = tiny(2, kVocab);
  constexpr int32_t kIds = 100;
  const DraftModel draft{.model = model, .num_ids = kIds};
  DraftDriver driver(model, &draft, config(), kMaxTokens, sequences());
  driver.prefill(6);
  for (int32_t step = 0; step < kNew; ++step) {
    std::vector<size_t> lengths;
    for (size_t s = 0; s < 6; ++s) lengths.push_back(driver[s].tokens.size());
    driver.decode(0, 6, std::vector<int32_t>(6, 1));
    for (size_t s = 0; s < 6; ++s)  // two new tokens: the first one was a draft
      if (driver[s].tokens.size() == lengths[s] + 2) CHECK(driver[s].tokens[lengths[s]] < kIds);
  }
  int64_t accepted = 0;
  for (size_t s = 0; s < 6; ++s) accepted += driver[s].accepted;
  CHECK(accepted > 10);
  CHECK(new_tokens(driver) == plain_tokens(model, config()));
}

TEST_CASE("Drafts that the host knows are accepted where they are right") {
  const ModelConfig model = tiny(2, kVocab);
  const auto tokens = plain_tokens(model, config());
  for (int32_t right : {0, 2, 5}) {
    DraftDriver driver(model, nullptr, config(), kMaxTokens, sequences());
    driver.prefill(6);
    while (!all_have_enough(driver)) {
      std::vector<int32_t> counts;
      std::vector<std::vector<int32_t>> known(6);
      for (size_t s = 0; s < 6; ++s) {
        const size_t done = driver[s].tokens.size() - driver[s].prompt.size();
        for (size_t i = 0; i < 5; ++i) {
          const int32_t next = done + i < kNew ? tokens[s][done + i] : 0;
          known[s].push_back(static_cast<int32_t>(i) < right ? next : (next + 1) % kVocab);
        }
        counts.push_back(static_cast<int32_t>(std::min<size_t>(5, kMaxTokens - driver[s].tokens.size())));
        known[s].resize(counts[s]);
      }
      driver.decode(0, 6, counts, known);
    }
    CHECK(new_tokens(driver) == tokens);
    if (right == 0)
      for (size_t s = 0; s < 6; ++s) CHECK(driver[s].tokens.size() == driver[s].prompt.size() + kNew);
    if (right == 5)
      for (size_t s = 0; s < 6; ++s) CHECK(driver[s].accepted >= kNew - 10);
  }
}

TEST_CASE("Block copies reach the draft model's pool too") {
  const ModelConfig model = tiny(2, kVocab);
  const DraftModel itself{model};
  std::vector<Sequence> two(2, sequences()[1]);
  two[1].sampling.seed = 7;
  DraftDriver driver(model, &itself, config(), kMaxTokens, two);
  driver.prefill(1);
  driver.decode(0, 1, {4, 0});
  const auto copies = driver.fork(0, 1);
  driver.decode(0, 2, {3, 4}, {}, copies);
  for (int32_t i = 0; i < 4; ++i) driver.decode(0, 2, {3, 4});
  for (size_t s : {0, 1}) {
    CHECK(driver[s].proposed > 15);
    CHECK(driver[s].accepted == driver[s].proposed);
  }
  CHECK(driver[0].tokens != driver[1].tokens);
}

TEST_CASE("A table in place of trained models is met as often as was asked for") {
  const ModelConfig model = tiny(2, kVocab);
  const DraftModel other{.model = tiny(1, kVocab + 10)};
  EngineConfig by_table = config();
  by_table.table_agreement = 0.8f;
  std::vector<Sequence> all = sequences();
  for (Sequence& sequence : all) sequence.sampling.edits = 0;
  DraftDriver driver(model, &other, by_table, kMaxTokens, all), plain(model, nullptr, by_table, kMaxTokens, all);
  driver.prefill(6);
  plain.prefill(6);
  for (int32_t i = 0; i < kNew; ++i) driver.decode(0, 6, std::vector<int32_t>(6, 1));
  for (int32_t i = 1; i < kNew; ++i) plain.decode(0, 6, std::vector<int32_t>(6, 0));
  CHECK(new_tokens(driver) == new_tokens(plain));
  int64_t proposed = 0, accepted = 0;
  for (size_t s = 0; s < 6; ++s) proposed += driver[s].proposed, accepted += driver[s].accepted;
  CHECK(static_cast<double>(accepted) / static_cast<double>(proposed) == Approx(0.8).margin(0.08));
}

TEST_CASE("Drafts without a model to make them are a bug") {
  const ModelConfig model = tiny(1, kVocab);
  DraftDriver driver(model, nullptr, config(), kMaxTokens, sequences());
  driver.prefill(6);
  CHECK_THROWS_WITH(driver.decode(0, 6, std::vector<int32_t>(6, 1)), ContainsSubstring("no model"));
}

TEST_CASE("Ranks that do not divide the draft model are named") {
  ModelConfig odd = tiny(1, kVocab);
  odd.heads = odd.kv_heads = 3;
  const DraftModel draft{odd};
  const ModelConfig model = tiny(1, kVocab);
  StageTimes times;
  try {
    RankGroup(model, config(2), 0, nullptr, times, &draft);
    FAIL("accepted");
  } catch (const Error& error) {
    CHECK(error.code() == ExitCode::bad_model);
    CHECK_THAT(error.what(), ContainsSubstring("the draft model: --tensor-parallel 2") && ContainsSubstring("3 heads"));
  }
}

}  // namespace
}  // namespace penstock
