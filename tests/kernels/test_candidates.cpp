#include <cmath>

#include "kernels/candidates.h"
#include "tests/kernels/op_fixture.h"

namespace penstock {
namespace {

struct Outcome {
  std::vector<HeadResult> results;
  std::vector<int32_t> last_tokens;
};

class Rows {
 public:
  Rows(int64_t vocab, std::vector<HeadRow> want, std::vector<float> logits)
      : backend(test_backend()), vocab_(vocab), want_(std::move(want)), logits_(std::move(logits)) {}

  // sample and score, of whole rows.
  Outcome whole() {
    DeviceArray<float> logits(*backend, logits_);
    DeviceArray<HeadRow> rows(*backend, want_);
    DeviceArray<HeadResult> results(*backend, untouched());
    DeviceArray<int32_t> last(*backend, std::vector<int32_t>(want_.size(), -7));
    const Head head{logits.matrix(count(), vocab_), rows.data(), results.data(), last.data(), nullptr, {}};
    backend->sample(head);
    backend->score(head);
    return {results.download(), last.download()};
  }

  // The same from candidates, as if each of `ranks` had `stride` of the ids.
  Outcome in_parts(int ranks, int64_t stride) {
    DeviceArray<HeadRow> rows(*backend, want_), others(*backend, want_);
    std::vector<Candidate> all(want_.size() * ranks * kCandidateParts);
    for (int rank = 0; rank < ranks; ++rank) {
      const int64_t first = std::min(vocab_, rank * stride), ids = std::min(vocab_, first + stride) - first;
      std::vector<float> part(want_.size() * stride, kNan);  // padding columns are not looked at
      for (int64_t r = 0; r < count(); ++r)
        std::copy_n(logits_.begin() + r * vocab_ + first, ids, part.begin() + r * stride);
      DeviceArray<float> logits(*backend, part);
      DeviceArray<Candidate> candidates(*backend, std::vector<Candidate>(want_.size() * kCandidateParts));
      backend->find_candidates(
          {logits.matrix(count(), stride), first, ids, rows.data(), candidates.data(), others.data()});
      const std::vector<Candidate> found = candidates.download();
      for (size_t r = 0; r < want_.size(); ++r)
        std::copy_n(found.begin() + r * kCandidateParts, kCandidateParts,
                    all.begin() + (r * ranks + rank) * kCandidateParts);
    }
    DeviceArray<Candidate> candidates(*backend, all);
    DeviceArray<HeadResult> results(*backend, untouched());
    DeviceArray<int32_t> last(*backend, std::vector<int32_t>(want_.size(), -7));
    backend->choose_candidates({candidates.data(), count(), ranks, rows.data(), results.data(), last.data(), nullptr});
    left = others.download();
    return {results.download(), last.download()};
  }

  std::unique_ptr<Backend> backend;
  std::vector<HeadRow> left;  // of the last in_parts

 private:
  int64_t count() const { return static_cast<int64_t>(want_.size()); }
  std::vector<HeadResult> untouched() const { return std::vector<HeadResult>(want_.size(), {-5, -5, -5}); }

  int64_t vocab_;
  std::vector<HeadRow> want_;
  std::vector<float> logits_;
};

// Greedy rows, drawn ones, and scored ones.
std::vector<HeadRow> plain_rows(int64_t vocab) {
  std::vector<HeadRow> rows;
  for (int32_t i = 0; i < 60; ++i) {
    HeadRow row{.slot = i, .position = 11 * i, .seed = 1000u + i};
    if (i % 3 == 1) row.temperature = 0.3f + 0.05f * i;
    if (i % 3 == 2) row.slot = -1, row.target = static_cast<int32_t>((i * 7919) % vocab);
    if (i == 4) row.top_k = 1, row.temperature = 2;  // greedy in other words
    if (i == 7) row.slot = -1;                       // padding
    rows.push_back(row);
  }
  return rows;
}

void check_equal(const Outcome& got, const Outcome& want) {
  for (size_t r = 0; r < want.results.size(); ++r) {
    INFO("row " << r);
    CHECK(got.results[r].token == want.results[r].token);
    CHECK(got.results[r].flags == want.results[r].flags);
    CHECK(std::abs(got.results[r].logprob - want.results[r].logprob) <= 1e-5);
  }
  CHECK(got.last_tokens == want.last_tokens);
}

}  // namespace

TEST_CASE("what parts of the vocabulary say decides as the whole does", "[sanitize]") {
  for (int64_t vocab : {5, 320, 1003, 32064}) {
    std::vector<HeadRow> want = plain_rows(vocab);
    std::vector<float> logits = normal_values(want.size() * vocab, static_cast<uint32_t>(vocab), 4);
    for (int64_t i = 0; i < vocab; i += 3) logits[3 * vocab + i] = logits[4 * vocab + i] = 1;  // equal ones, often
    want[5].target = static_cast<int32_t>(std::max_element(logits.begin() + 5 * vocab, logits.begin() + 6 * vocab) -
                                          logits.begin() - 5 * vocab);
    logits[6 * vocab + vocab / 2] = kInfinity;
    logits[8 * vocab + vocab - 1] = kNan;
    std::fill_n(logits.begin() + 9 * vocab, vocab, -kInfinity);
    std::fill_n(logits.begin() + 10 * vocab, vocab - 1, -kInfinity);
    Rows rows(vocab, want, logits);
    const Outcome whole = rows.whole();
    REQUIRE(whole.results[5].flags == HeadResult::kArgmax);
    REQUIRE(whole.results[9].flags == HeadResult::kNonFinite);
    for (int ranks : {1, 2, 3, 4, 8}) {
      INFO(ranks << " parts of " << vocab);
      check_equal(rows.in_parts(ranks, (vocab + ranks - 1) / ranks), whole);
      for (const HeadRow& left : rows.left) CHECK(is_padding(left));
    }
  }
}

TEST_CASE("rows that candidates cannot decide are left for the whole vocabulary", "[sanitize]") {
  const int64_t vocab = 320;
  std::vector<HeadRow> want(8, {.slot = 0, .temperature = 1});
  want[1].top_p = 0.9f;
  want[2].top_k = 5;
  want[3].min_p = 0.1f;
  want[4].edits = 1;
  want[5].top_logprobs = 2;
  want[6] = {.target = 3, .top_logprobs = 1};
  want[7] = {.slot = 7, .temperature = 0, .top_p = 0.9f};  // greedy: the filter takes nothing from it
  Rows rows(vocab, want, normal_values(want.size() * vocab, 1));
  const Outcome outcome = rows.in_parts(2, vocab / 2);
  for (size_t r = 0; r < want.size(); ++r) {
    const bool is_left = r >= 1 && r <= 6;
    INFO("row " << r);
    CHECK(is_padding(rows.left[r]) == !is_left);
    CHECK((outcome.results[r].token == -5) == is_left);
    if (is_left) CHECK(std::memcmp(&rows.left[r], &want[r], sizeof want[r]) == 0);
  }
}

}  // namespace penstock
