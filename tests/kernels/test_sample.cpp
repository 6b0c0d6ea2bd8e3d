#include "tests/kernels/sample_reference.h"

using namespace penstock;

namespace {

// 10^5 draws of one row of logits, chi-square against `want`.
void check_frequencies(const std::vector<float>& logits, HeadRow how, const std::vector<double>& want) {
  auto backend = test_backend();
  constexpr int kDraws = 100000, kBatch = 1000;
  std::vector<float> batch;
  for (int i = 0; i < kBatch; ++i) batch.insert(batch.end(), logits.begin(), logits.end());
  std::vector<int> counts(logits.size());
  for (int first = 0; first < kDraws; first += kBatch) {
    std::vector<HeadRow> rows(kBatch, how);
    for (int i = 0; i < kBatch; ++i) {
      rows[i].slot = i;
      rows[i].position = (first + i) % 100, rows[i].choice = (first + i) / 100 % 10, rows[i].seed = (first + i) / 1000;
    }
    for (const HeadResult& result : run_head(*backend, true, batch, rows).results) counts.at(result.token)++;
  }
  double chi_square = 0;
  int freedom = -1;
  for (size_t id = 0; id < want.size(); ++id) {
    double expected = want[id] * kDraws;
    if (expected == 0) {
      CHECK(counts[id] == 0);
      continue;
    }
    chi_square += (counts[id] - expected) * (counts[id] - expected) / expected;
    freedom++;
  }
  // Five standard deviations above the mean; the draws are a fixed sequence, so this passes always or never.
  INFO("chi-square " << chi_square << ", " << freedom << " degrees of freedom");
  CHECK(chi_square <= freedom + 5 * std::sqrt(2.0 * freedom));
}

std::vector<double> softmax(const std::vector<float>& logits, double temperature) {
  std::vector<double> p;
  double total = 0;
  for (float x : logits) p.push_back(std::exp(x / temperature)), total += p.back();
  for (double& x : p) x /= total;
  return p;
}

}  // namespace

TEST_CASE("greedy takes the largest logit, the lowest id among equals", "[sampler]") {
  auto backend = test_backend();
  for (size_t vocab : {1, 7, 64, 65, 49152}) {
    auto logits = normal_values(vocab, 3, 2);
    int32_t largest = static_cast<int32_t>(std::ranges::max_element(logits) - logits.begin());
    for (size_t id = largest; id < vocab; id += 13) logits[id] = logits[largest];
    for (HeadRow how : {HeadRow{.slot = 2}, HeadRow{.slot = 2, .temperature = 1, .top_p = 0},
                        HeadRow{.slot = 2, .temperature = 1, .top_k = 1}}) {
      auto got = run_head(*backend, true, logits, {how});
      double want = log_probability(logits, largest);
      CHECK(got.results[0].token == largest);
      CHECK(got.results[0].flags == 0);
      CHECK(std::abs(got.results[0].logprob - want) <= 1e-6 + 1e-6 * std::abs(want));
      CHECK(got.last_tokens == std::vector<int32_t>{kUntouched, kUntouched, largest});
    }
  }
}

TEST_CASE("a draw is the arg max of filtered logits plus noise", "[sampler]") {
  auto backend = test_backend();
  int decided = 0, all = 0;
  for (size_t vocab : {3, 64, 1000, 49152})
    for (float deviation : {0.0f, 1.0f, 4.0f})
      for (float temperature : {0.5f, 1.0f, 1.7f})
        for (float top_p : {1.0f, 0.9f, 0.3f})
          for (int32_t top_k : {0, 2, 50, 900})
            for (float min_p : {0.0f, 0.1f}) {
              HeadRow how{.slot = 0, .temperature = temperature, .top_p = top_p, .min_p = min_p, .top_k = top_k};
              how.seed = 0x123456789ABCDEFu + all, how.position = all, how.choice = all % 3;
              auto logits = normal_values(vocab, 100 + all++, deviation);
              if (all % 2) logits[vocab / 3] = -kInfinity, logits[vocab / 2] = logits[0];
              const Draw drawn = reference_draw(logits, how);
              if (drawn.is_close()) continue;
              const int32_t want = drawn.token;
              decided++;
              INFO("vocab " << vocab << ", deviation " << deviation << ", temperature " << temperature << ", top_p "
                            << top_p << ", top_k " << top_k << ", min_p " << min_p);
              HeadResult got = run_head(*backend, true, logits, {how}).results[0];
              CHECK(got.token == want);
              CHECK(std::abs(got.logprob - log_probability(logits, want)) <= 2e-5);
            }
  CHECK(decided > all * 8 / 10);
}

TEST_CASE("draws have the probabilities of the softmax") {
  std::vector<float> peaked = {0, 1, 2, 3, 4, 5, -1}, flat(33, 0.25f), ties = {1, 3, 3, 0, 3, 1};
  std::vector<float> masked = {1, -kInfinity, 2, -kInfinity, 1.5f}, one_hot(20, -kInfinity);
  one_hot[13] = -5;
  for (float temperature : {0.7f, 1.0f, 1.5f})
    for (const auto& logits : {peaked, flat, ties, masked, one_hot})
      check_frequencies(logits, {.temperature = temperature}, softmax(logits, temperature));
}

TEST_CASE("equal logits at a filter's border: the lower ids stay") {
  std::vector<float> ties = {1, 3, 3, 0, 3, 1};
  check_frequencies(ties, {.temperature = 1, .top_k = 2}, {0, 0.5, 0.5, 0, 0, 0});
  check_frequencies(ties, {.temperature = 1, .top_p = 0.5}, {0, 0.5, 0.5, 0, 0, 0});
  check_frequencies(ties, {.temperature = 1, .min_p = 0.5}, {0, 1 / 3.0, 1 / 3.0, 0, 1 / 3.0, 0});
  check_frequencies(ties, {.temperature = 1, .top_p = 0.7f, .top_k = 4}, {0, 1 / 3.0, 1 / 3.0, 0, 1 / 3.0, 0});
}

TEST_CASE("sample calls logits that are no numbers by their name, and leaves other rows alone", "[sampler][sanitize]") {
  auto backend = test_backend();
  constexpr size_t kVocab = 70;
  std::vector<float> logits(7 * kVocab, 1.0f);
  logits[0 * kVocab + 69] = kNan;
  logits[1 * kVocab + 3] = kInfinity;
  std::fill_n(logits.begin() + 2 * kVocab, kVocab, -kInfinity);
  std::fill_n(logits.begin() + 3 * kVocab, 2 * kVocab, kNan);
  logits[5 * kVocab + 1] = -kInfinity, logits[5 * kVocab + 9] = 2;
  for (float temperature : {0.0f, 1.0f}) {
    std::vector<HeadRow> rows(7, HeadRow{.temperature = temperature});
    for (int32_t row : {0, 1, 2, 5}) rows[row].slot = row;
    rows[4].target = 3, rows[6].slot = 6, rows[6].target = 3;
    auto got = run_head(*backend, true, logits, rows);
    for (int row : {0, 1, 2}) {
      CHECK(got.results[row].flags == HeadResult::kNonFinite);
      CHECK(got.results[row].token == -1);
      CHECK(got.last_tokens[row] == 0);
    }
    for (int row : {3, 4, 6}) CHECK(got.results[row].token == kUntouched);
    CHECK(got.results[5].flags == 0);
    CHECK(got.last_tokens[5] == got.results[5].token);
    CHECK(got.last_tokens[6] == kUntouched);
  }
}

TEST_CASE("a draw's bits depend on nothing but its row", "[sampler][sanitize]") {
  auto backend = test_backend(), alone = test_backend(1);
  constexpr size_t kVocab = 5003, kRows = 33;
  auto logits = normal_values(kVocab * kRows, 5, 3);
  std::vector<HeadRow> rows;
  for (int32_t row = 0; row < static_cast<int32_t>(kRows); ++row)
    rows.push_back({.slot = row,
                    .temperature = 0.5f * static_cast<float>(row % 4),
                    .top_p = row % 3 ? 0.9f : 1.0f,
                    .top_k = row % 5 * 10,
                    .position = row,
                    .seed = 99});
  auto got = run_head(*backend, true, logits, rows);
  for (size_t row = 0; row < kRows; ++row)
    CHECK(same(run_head(*alone, true, slice(logits, row * kVocab, kVocab), {rows[row]}).results[0], got.results[row]));
}

namespace {

// Rows of all kinds in one call, and in several.
void check_batches(size_t vocab, size_t count) {
  auto backend = test_backend();
  constexpr size_t kSome = 20;
  auto logits = normal_values(vocab * count, 6, 3);
  std::vector<HeadRow> rows;
  for (int32_t row = 0; row < static_cast<int32_t>(count); ++row) {
    const bool is_padding = row % 16 == 5;
    rows.push_back({.slot = is_padding ? -1 : row,
                    .temperature = 0.5f * static_cast<float>(row % 4),
                    .top_p = row % 5 == 0   ? 1.0f
                             : row % 5 == 1 ? 0.02f
                                            : 0.9f,
                    .min_p = row % 7 ? 0.0f : 0.05f,
                    .top_k = row % 11 ? 0 : 20,
                    .position = row,
                    .seed = 98});
  }
  logits[12 * vocab + vocab - 1] = 40, logits[13 * vocab] = kNan;
  const auto all = run_head(*backend, true, logits, rows).results;
  for (size_t first = 0; first < count; first += kSome) {
    const auto some = run_head(*backend, true, slice(logits, first * vocab, kSome * vocab),
                               {rows.begin() + first, rows.begin() + first + kSome})
                          .results;
    for (size_t i = 0; i < kSome; ++i) {
      INFO("vocab " << vocab << ", row " << first + i << " of " << count);
      CHECK(same(all[first + i], some[i]));
    }
  }
  CHECK(all[12].token == static_cast<int32_t>(vocab) - 1);
  CHECK(all[13].flags == HeadResult::kNonFinite);
}

}  // namespace

// A GPU's clusters of blocks take several rows each, one after the other; with very many rows there are more clusters.
TEST_CASE("a row's bits are its own among rows of any number", "[sampler]") {
  check_batches(1100, 1200);
  check_batches(45000, 120);
}
TEST_CASE("a row's bits are its own among others", "[sampler][sanitize]") { check_batches(1024, 80); }
