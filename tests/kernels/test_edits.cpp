// Penalties and logit edits. A slow model applies them to a row one id at a time; what `sample` then draws must be what
// it draws, without edits, from that row.
#include <map>

#include "tests/kernels/edit_fixture.h"

using namespace penstock;

namespace {

std::vector<float> edited_row(std::vector<float> logits, const HeadRow& want, const Slot& slot) {
  std::map<int32_t, int> seen;  // -> times drawn
  for (int32_t id : slot.prompt) seen.emplace(id, 0);
  for (int32_t id : slot.generated) seen[id]++;
  for (auto [id, times] : seen) {
    float& x = logits[id];
    x = x > 0 ? x / want.repetition_penalty : x * want.repetition_penalty;
    x = x - want.frequency_penalty * static_cast<float>(times);
    if (times > 0) x = x - want.presence_penalty;
  }
  for (const LogitEdit& edit : slot.edits)
    if (want.position < edit.until) logits[edit.id] += edit.bias;
  return logits;
}

}  // namespace

TEST_CASE("a row with edits draws what the plain sampler draws from the edited row", "[sampler]") {
  auto backend = test_backend();
  std::mt19937 random(11);
  int different = 0, greedy = 0, all = 0;
  for (int32_t vocab : {1, 3, 17, 64, 67, 300, 2501})
    for (int round = 0; round < 12; ++round) {
      constexpr int32_t kRows = 9;
      DeviceSlots slots(*backend, kRows, vocab);
      std::vector<float> logits, edited;
      std::vector<HeadRow> rows, plain, targets;
      for (int32_t r = 0; r < kRows; ++r) {
        auto row = normal_values(vocab, random(), 3);
        if (vocab > 3 && random() % 4 == 0) row[random() % vocab] = -kInfinity;
        Slot slot = random_slot(random, vocab);
        HeadRow want = random_row(random);
        want.slot = (r * 4 + 1) % kRows;
        slots.prepare(want.slot, slot.prompt, slot.generated, slot.edits);
        auto after = edited_row(row, want, slot);
        if (r == 0) want.edits = 0, after = row;  // one that is left alone
        logits.insert(logits.end(), row.begin(), row.end()), edited.insert(edited.end(), after.begin(), after.end());
        rows.push_back(want), want.edits = 0, plain.push_back(want);
      }
      auto before = slots.counts();
      auto got = run_head(*backend, true, logits, rows, slots.view()), want = run_head(*backend, true, edited, plain);
      auto raw = run_head(*backend, true, logits, plain);
      for (int32_t r = 0; r < kRows; ++r) targets.push_back({.target = std::max(0, want.results[r].token)});
      auto scores = run_head(*backend, false, logits, targets);
      auto counts = slots.counts();
      for (int32_t r = 0; r < kRows; ++r, ++all) {
        INFO("vocab " << vocab << ", round " << round << ", row " << r);
        HeadResult result = got.results[r];
        REQUIRE(result.token == want.results[r].token);
        if (result.token < 0) {
          CHECK(result.flags == HeadResult::kAllBanned);
          CHECK(got.last_tokens[rows[r].slot] == 0);
          continue;
        }
        CHECK(result.flags == 0);
        CHECK(result.logprob == scores.results[r].logprob);
        CHECK(got.last_tokens[rows[r].slot] == result.token);
        if (rows[r].edits) before[rows[r].slot * vocab + result.token]++;
        different += result.token != raw.results[r].token, greedy += rows[r].temperature == 0;
      }
      CHECK(counts == before);
    }
  CHECK(different > all / 4);
  CHECK(greedy > all / 8);
}

TEST_CASE("prepare_slot forgets what the slot held, and touches no other slot", "[sampler]") {
  auto backend = test_backend();
  constexpr int64_t kVocab = 10;
  DeviceSlots slots(*backend, 3, kVocab);
  constexpr uint16_t kPoison = 0xFFFF, kPrompt = SlotState::kInPrompt;
  slots.prepare(1, {1, 1, 2, 9}, {0, 0, 2}, {{3, 1.5f}, {3, -kInfinity, 7}, {8, -2}});
  std::vector<uint16_t> want(3 * kVocab, kPoison);
  std::vector<uint16_t> row = {2, kPrompt, kPrompt | 1, 0, 0, 0, 0, 0, 0, kPrompt};
  std::copy(row.begin(), row.end(), want.begin() + kVocab);
  CHECK(slots.counts() == want);
  CHECK(slots.num_edits() == std::vector<int32_t>{-1, 3, -1});
  auto edits = slots.edits();
  CHECK((edits[kMaxLogitEdits + 1].id == 3 && edits[kMaxLogitEdits + 1].bias == -kInfinity));
  CHECK((edits[kMaxLogitEdits + 1].until == 7 && edits[kMaxLogitEdits + 2].id == 8));

  slots.prepare(1, {}, {}, {});
  std::fill_n(want.begin() + kVocab, kVocab, uint16_t{0});
  CHECK(slots.counts() == want);
  CHECK(slots.num_edits() == std::vector<int32_t>{-1, 0, -1});

  slots.prepare(2, {}, {}, std::vector<LogitEdit>(kMaxLogitEdits));
  CHECK(slots.num_edits()[2] == kMaxLogitEdits);
  CHECK_THROWS_AS(slots.prepare(2, {}, {}, std::vector<LogitEdit>(kMaxLogitEdits + 1)), Error);
  CHECK_THROWS_AS(slots.prepare(3, {}, {}, {}), Error);
  CHECK_THROWS_AS(slots.prepare(0, {10}, {}, {}), Error);
  CHECK_THROWS_AS(slots.prepare(0, {}, {-1}, {}), Error);
  CHECK_THROWS_AS(slots.prepare(0, {}, {}, {{5, 1}, {4, 1}}), Error);
  CHECK_THROWS_AS(slots.prepare(0, {}, {}, {{5, kInfinity}}), Error);
}

TEST_CASE("counts saturate, and the prompt's mark stays", "[sampler]") {
  auto backend = test_backend();
  DeviceSlots slots(*backend, 1, 3);
  slots.prepare(0, {1}, std::vector<int32_t>(0x7FFD, 1), {});
  HeadRow greedy{.slot = 0, .edits = 1};
  for (int times : {0x7FFE, 0x7FFF, 0x7FFF}) {
    CHECK(run_head(*backend, true, {0, 1, 0}, {greedy}, slots.view()).results[0].token == 1);
    CHECK(slots.counts() == std::vector<uint16_t>{0, static_cast<uint16_t>(SlotState::kInPrompt | times), 0});
  }
  slots.prepare(0, {}, std::vector<int32_t>(40000, 2), {});
  CHECK(slots.counts()[2] == 0x7FFF);
}

TEST_CASE("a drawn token counts at the next draw", "[sampler][sanitize]") {
  auto backend = test_backend();
  DeviceSlots slots(*backend, 1, 4);
  slots.prepare(0, {3}, {}, {});
  HeadRow greedy{.slot = 0, .frequency_penalty = 0.75f, .edits = 1};
  std::vector<int32_t> drawn;
  for (int i = 0; i < 6; ++i)
    drawn.push_back(run_head(*backend, true, {2, 1, 1.5f, 0}, {greedy}, slots.view()).results[0].token);
  // 2, 1.25, 0.5 against 1.5, 0.75 and 1: the prompt's id has no frequency.
  CHECK(drawn == std::vector<int32_t>{0, 2, 0, 1, 2, 0});
}

TEST_CASE("a ban ends where it says, and equal ids add up", "[sampler][sanitize]") {
  auto backend = test_backend();
  DeviceSlots slots(*backend, 1, 70);
  std::vector<float> logits(70, 0.0f);
  logits[66] = 5;
  slots.prepare(0, {}, {}, {{1, 0.5f}, {1, 0.5f}, {2, 0.75f}, {66, -kInfinity, 4}});
  for (int32_t position : {0, 3, 4, 5}) {
    HeadRow row{.slot = 0, .position = position, .edits = 1};
    CHECK(run_head(*backend, true, logits, {row}, slots.view()).results[0].token == (position < 4 ? 1 : 66));
  }
}

TEST_CASE("all banned, and no numbers, are told apart", "[sampler]") {
  auto backend = test_backend();
  DeviceSlots slots(*backend, 3, 2);
  std::vector<LogitEdit> all = {{0, -kInfinity}, {1, -kInfinity}};
  for (int32_t slot : {0, 1, 2}) slots.prepare(slot, {}, {}, all);
  auto before = slots.counts();
  for (float temperature : {0.0f, 1.0f}) {
    std::vector<HeadRow> rows(3, HeadRow{.temperature = temperature, .edits = 1});
    for (int32_t r : {0, 1, 2}) rows[r].slot = r;
    auto got = run_head(*backend, true, {1, -kInfinity, 1, kNan, -kInfinity, -kInfinity}, rows, slots.view());
    CHECK(got.results[0].flags == HeadResult::kAllBanned);
    for (int r : {1, 2}) CHECK(got.results[r].flags == HeadResult::kNonFinite);
    for (int r : {0, 1, 2}) CHECK((got.results[r].token == -1 && got.last_tokens[r] == 0));
    CHECK(slots.counts() == before);
  }
}

TEST_CASE("slots of a smaller vocabulary are refused", "[sampler]") {
  auto backend = test_backend();
  DeviceSlots slots(*backend, 1, 5);
  CHECK_THROWS_AS(run_head(*backend, true, {1, 2, 3, 4, 5, 6}, {{.slot = 0}}, slots.view()), Error);
  SlotState part = slots.view();
  part.edits = nullptr;
  CHECK_THROWS_AS(run_head(*backend, true, {1, 2, 3, 4, 5}, {{.slot = 0}}, part), Error);
}
