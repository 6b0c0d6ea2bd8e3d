#include <algorithm>
#include <numeric>

#include "tests/kernels/head_fixture.h"

using namespace penstock;

namespace {

std::vector<int32_t> likeliest(const std::vector<float>& logits, int32_t count) {
  std::vector<int32_t> ids(logits.size());
  std::iota(ids.begin(), ids.end(), 0);
  std::ranges::stable_sort(ids, [&](int32_t a, int32_t b) { return logits[a] > logits[b]; });
  std::erase_if(ids, [&](int32_t id) { return logits[id] == -kInfinity; });
  if (static_cast<int32_t>(ids.size()) > count) ids.resize(count);
  return ids;
}

void check_row(std::span<const TopLogprob> top, const std::vector<float>& logits, int32_t count) {
  std::vector<int32_t> want = likeliest(logits, count);
  for (int32_t i = 0; i < kMaxTopLogprobs; ++i) {
    INFO("vocab " << logits.size() << ", wanted " << count << ", entry " << i);
    bool filled = i < static_cast<int32_t>(want.size());
    REQUIRE(top[i].id == (filled ? want[i] : -1));
    if (filled) REQUIRE(!(std::abs(top[i].logprob - log_probability(logits, want[i])) > 2e-5));
  }
}

}  // namespace

TEST_CASE("top logprobs are the likeliest ids, sampled or scored, greedy or not", "[sampler]") {
  auto backend = test_backend();
  uint32_t seed = 0;
  for (size_t vocab : {1, 2, 19, 20, 21, 63, 64, 65, 500, 5003, 49152})
    for (int32_t count : {1, 2, 5, 19, 20})
      for (int kind = 0; kind < 5; ++kind) {
        auto logits = normal_values(vocab, ++seed, 3);
        std::mt19937 random(seed);
        if (kind == 1)  // many ties
          for (float& x : logits) x = std::round(x);
        if (kind == 2) std::fill(logits.begin(), logits.end(), 0.25f);
        if (kind == 3)  // few ids with a probability
          for (float& x : logits) x = random() % (vocab / 8 + 1) == 0 ? std::round(x) : -kInfinity;
        if (kind == 4) std::ranges::sort(logits);
        logits[random() % vocab] = 1;
        HeadRow row{.top_logprobs = count};
        row.slot = 0;
        if (seed % 2) row.temperature = 1, row.top_p = 0.9f, row.seed = seed;
        auto got = run_head(*backend, true, logits, {row});
        check_row(got.top, logits, count);
        if (row.temperature == 0) REQUIRE(got.results[0].token == got.top[0].id);
        for (const TopLogprob& entry : got.top)
          if (entry.id == got.results[0].token) REQUIRE(entry.logprob == got.results[0].logprob);
        row.slot = -1, row.target = static_cast<int32_t>(vocab / 2);
        check_row(run_head(*backend, false, logits, {row}).top, logits, count);
      }
}

TEST_CASE("rows that want no alternatives, and rows of the other verb, leave `top` alone", "[sampler][sanitize]") {
  auto backend = test_backend();
  constexpr size_t kVocab = 100;
  std::vector<float> logits = normal_values(4 * kVocab, 1);
  std::fill_n(logits.begin() + 3 * kVocab, kVocab, kNan);
  std::vector<HeadRow> rows(4);
  for (int32_t r : {0, 1, 3}) rows[r].slot = r;
  rows[2].target = 1;
  for (int32_t r : {1, 2, 3}) rows[r].top_logprobs = 3;
  auto touched = [&](const HeadRun& run, int r) { return run.top[r * kMaxTopLogprobs].id != kUntouched; };
  auto sampled = run_head(*backend, true, logits, rows), scored = run_head(*backend, false, logits, rows);
  for (int r = 0; r < 4; ++r) {
    CHECK(touched(sampled, r) == (r == 1 || r == 3));
    CHECK(touched(scored, r) == (r == 2));
  }
  for (int32_t i = 0; i < kMaxTopLogprobs; ++i) CHECK(sampled.top[3 * kMaxTopLogprobs + i].id == -1);
  rows[3] = {.target = 1, .top_logprobs = 2};
  scored = run_head(*backend, false, logits, rows);
  for (int32_t i = 0; i < kMaxTopLogprobs; ++i) CHECK(scored.top[3 * kMaxTopLogprobs + i].id == -1);
}

TEST_CASE("alternatives are those of the raw logits, whatever the edits", "[sampler]") {
  auto backend = test_backend();
  auto logits = normal_values(300, 3, 2);
  DeviceSlots slots(*backend, 1, 300);
  std::vector<int32_t> best = likeliest(logits, 3);
  std::vector<LogitEdit> bans;
  for (int32_t id : best) bans.push_back({.id = id, .bias = -kInfinity});
  std::ranges::sort(bans, {}, &LogitEdit::id);
  slots.prepare(0, {}, {}, bans);
  HeadRow row{.slot = 0, .top_logprobs = 3, .edits = 1};
  auto got = run_head(*backend, true, logits, {row}, slots.view());
  check_row(got.top, logits, 3);
  CHECK(got.results[0].token == likeliest(logits, 4)[3]);
}
