// Tokens and scores from what parts of the vocabulary say, beside those of whole rows: rows without filters.
#include "tests/kernels/candidate_fixture.h"

namespace penstock {
namespace {

// Greedy rows, drawn ones, and scored ones.
HostRows plain_rows(int64_t vocab) {
  HostRows host{vocab, {}, {}};
  for (int32_t i = 0; i < 60; ++i) {
    HeadRow row{.slot = i, .position = 11 * i, .seed = 1000u + i};
    if (i % 3 == 1) row.temperature = 0.3f + 0.05f * i;
    if (i % 3 == 2) row.slot = -1, row.target = static_cast<int32_t>((i * 7919) % vocab);
    if (i == 4) row.top_k = 1, row.temperature = 2;  // greedy in other words
    if (i == 7) row.slot = -1;                       // padding
    host.add(row, normal_values(vocab, static_cast<uint32_t>(100 * vocab + i), 4));
  }
  std::vector<float>& logits = host.logits;
  for (int64_t i = 0; i < vocab; i += 3) logits[3 * vocab + i] = logits[4 * vocab + i] = 1;  // equal ones, often
  host.want[5].target = static_cast<int32_t>(std::max_element(logits.begin() + 5 * vocab, logits.begin() + 6 * vocab) -
                                             logits.begin() - 5 * vocab);
  logits[6 * vocab + vocab / 2] = kInfinity;
  logits[8 * vocab + vocab - 1] = kNan;
  std::fill_n(logits.begin() + 9 * vocab, vocab, -kInfinity);
  std::fill_n(logits.begin() + 10 * vocab, vocab - 1, -kInfinity);
  return host;
}

// Each row with a slot of its own, some ahead of drafts. Without filters.
HostRows edited_rows(int32_t vocab, uint32_t seed) {
  constexpr int32_t kRows = 24;
  HostRows host{vocab, {}, {}, std::vector<Slot>(kRows), std::vector<int32_t>(kRows * kMaxDrafts)};
  std::mt19937 random(seed);
  for (int32_t& draft : host.drafts) draft = static_cast<int32_t>(random() % (vocab + 2)) - 1;
  for (int32_t r = 0; r < kRows; ++r) {
    HeadRow row = random_row(random);
    row.slot = (r * 5 + 1) % kRows;
    row.top_p = 1, row.top_k = 0, row.min_p = 0;
    if (r % 8 == 0) row.edits = 0;
    if (r % 3 == 1) row.draw = DrawKind::verify, row.drafted = r % (kMaxDrafts + 1);
    if (r % 3 == 2) row.draw = DrawKind::draft, row.drafted = r % kMaxDrafts;
    host.slots[row.slot] = random_slot(random, vocab);
    host.add(row, normal_values(vocab, random(), 3));
  }
  return host;
}

}  // namespace

TEST_CASE("what parts of the vocabulary say decides as the whole does", "[candidates][sanitize]") {
  auto backend = test_backend();
  for (int64_t vocab : {5, 320, 1003, 32064}) {
    const HostRows host = plain_rows(vocab);
    const Outcome whole = sampled_whole(*backend, host);
    REQUIRE(whole.results[5].flags == HeadResult::kArgmax);
    REQUIRE(whole.results[9].flags == HeadResult::kNonFinite);
    for (int ranks : {1, 2, 3, 4, 8}) {
      INFO(ranks << " parts of " << vocab);
      const Outcome parts = sampled_in_parts(*backend, host, ranks);
      check_equal(parts, whole);
      CHECK(parts.num_decided() == host.want.size());
    }
  }
}

TEST_CASE("rows with alternatives are left for the whole vocabulary", "[candidates][sanitize]") {
  auto backend = test_backend();
  HostRows host{320, {}, {}};
  for (int32_t r = 0; r < 6; ++r) {
    HeadRow row{.slot = r, .temperature = 1};
    if (r == 1) row.top_logprobs = 2;
    if (r == 2) row = {.target = 3, .top_logprobs = 1};
    if (r == 3) row.temperature = 0, row.top_p = 0.9f;  // greedy: the filter takes nothing from it
    if (r == 4) row = {.target = 3};
    if (r == 5) row.top_p = 0.9f, row.top_logprobs = 20;
    host.add(row, normal_values(320, r));
  }
  const Outcome parts = sampled_in_parts(*backend, host, 2);
  for (size_t r = 0; r < host.want.size(); ++r) {
    const HeadRow& want = host.want[r];
    INFO("row " << r);
    CHECK(parts.is_decided(r) == (want.top_logprobs == 0));
    if (want.top_logprobs > 0) CHECK(std::memcmp(&parts.others[r], &want, sizeof want) == 0);
  }
  check_equal(parts, sampled_whole(*backend, host));
}

TEST_CASE("ranks edit their ids as the whole row is edited") {
  auto backend = test_backend();
  size_t different = 0, banned = 0, all = 0;
  for (int32_t vocab : {1, 3, 67, 300, 2501})
    for (uint32_t seed = 1; seed <= 3; ++seed) {
      HostRows host = edited_rows(vocab, seed * 100 + vocab);
      const Outcome whole = sampled_whole(*backend, host);
      for (int ranks : {1, 2, 3, 8}) {
        INFO(ranks << " parts of " << vocab << ", seed " << seed);
        const Outcome parts = sampled_in_parts(*backend, host, ranks);
        check_equal(parts, whole);
        CHECK(parts.num_decided() == host.want.size());
      }
      for (HeadRow& row : host.want) row.edits = 0;
      const Outcome unedited = sampled_whole(*backend, host);
      for (size_t r = 0; r < host.want.size(); ++r, ++all) {
        different += unedited.results[r].token != whole.results[r].token;
        banned += whole.results[r].flags == HeadResult::kAllBanned;
      }
    }
  CHECK(different > all / 4);
  CHECK(banned > 0);
}

TEST_CASE("ranks tell all banned from no numbers", "[candidates]") {
  auto backend = test_backend();
  constexpr int64_t kVocab = 10;
  for (float temperature : {0.0f, 1.0f}) {
    HostRows host{kVocab, {}, {}, std::vector<Slot>(3)};
    for (int32_t r = 0; r < 3; ++r) {
      for (int32_t id = 0; id < kVocab; ++id) host.slots[r].edits.push_back({id, -kInfinity});
      host.add({.slot = r, .temperature = temperature, .top_p = 0.9f, .edits = 1}, normal_values(kVocab, r));
    }
    host.logits[1 * kVocab + 7] = kNan;
    std::fill_n(host.logits.begin() + 2 * kVocab, kVocab, -kInfinity);
    const Outcome parts = sampled_in_parts(*backend, host, 3);
    check_equal(parts, sampled_whole(*backend, host));
    CHECK(parts.results[0].flags == HeadResult::kAllBanned);
    for (int r : {1, 2}) CHECK(parts.results[r].flags == HeadResult::kNonFinite);
    for (int r : {0, 1, 2}) CHECK((parts.is_decided(r) && parts.last_tokens[r] == 0));
  }
}

}  // namespace penstock
