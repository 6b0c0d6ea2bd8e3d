#include "tests/kernels/head_fixture.h"

using namespace penstock;

TEST_CASE("score is the target's log-probability, and says whether it is the largest", "[sampler]") {
  auto backend = test_backend();
  for (size_t vocab : {1, 5, 64, 65, 1000, 49152})
    for (float deviation : {0.0f, 1.0f, 10.0f}) {
      auto logits = normal_values(vocab, 1, deviation);
      int32_t largest = static_cast<int32_t>(std::ranges::max_element(logits) - logits.begin());
      int32_t last = static_cast<int32_t>(vocab) - 1;
      for (int32_t target : {0, last / 2, last, largest}) {
        INFO("vocab " << vocab << ", deviation " << deviation << ", target " << target);
        HeadResult got = run_head(*backend, false, logits, {{.target = target}}).results[0];
        double want = log_probability(logits, target);
        CHECK(std::abs(got.logprob - want) <= 1e-6 + 1e-6 * std::abs(want));
        CHECK(got.token == target);
        CHECK(got.flags == (target == largest ? HeadResult::kArgmax : 0));
      }
    }
}

TEST_CASE("score calls logits that are no numbers by their name, and leaves other rows alone", "[sampler][sanitize]") {
  auto backend = test_backend();
  constexpr size_t kVocab = 100;
  std::vector<float> logits;
  auto add = [&](float at_0, float at_99, float elsewhere) {
    std::vector<float> row(kVocab, elsewhere);
    row[0] = at_0, row[99] = at_99;
    logits.insert(logits.end(), row.begin(), row.end());
  };
  add(1, 2, 0), add(kNan, 2, 0), add(1, kInfinity, 0), add(-kInfinity, -kInfinity, -kInfinity);
  add(-kInfinity, -kInfinity, 3), add(kNan, kNan, kNan), add(kNan, kNan, kNan);
  std::vector<HeadRow> rows(7, HeadRow{.target = 99});
  rows[4].target = 98, rows[5] = {}, rows[6] = {.slot = 0};
  auto got = run_head(*backend, false, logits, rows);
  CHECK(got.results[0].flags == HeadResult::kArgmax);
  for (int row : {1, 2, 3}) {
    CHECK(got.results[row].flags == HeadResult::kNonFinite);
    CHECK(got.results[row].token == -1);
  }
  CHECK(std::abs(got.results[4].logprob + std::log(98.0)) < 1e-5);
  CHECK(got.results[4].flags == 0);
  CHECK(got.results[5].token == kUntouched);
  CHECK(got.results[6].token == kUntouched);
  CHECK(got.last_tokens[0] == kUntouched);
}

TEST_CASE("a scored row's bits are its own", "[sampler]") {
  auto backend = test_backend(), alone = test_backend(1);
  constexpr size_t kVocab = 5003, kRows = 33;
  auto logits = normal_values(kVocab * kRows, 2, 4);
  std::vector<HeadRow> rows(kRows, HeadRow{.target = 17});
  auto got = run_head(*backend, false, logits, rows);
  for (size_t row = 0; row < kRows; ++row)
    CHECK(same(run_head(*alone, false, slice(logits, row * kVocab, kVocab), {rows[row]}).results[0], got.results[row]));
}
