// Rows of logits through sample or score.
#pragma once
#include "tests/kernels/op_fixture.h"

namespace penstock {

struct HeadRun {
  std::vector<HeadResult> results;
  std::vector<int32_t> last_tokens;
};

constexpr int32_t kUntouched = -77;

inline HeadRun run_head(Backend& backend, bool sample, const std::vector<float>& logits,
                        const std::vector<HeadRow>& rows) {
  int64_t count = static_cast<int64_t>(rows.size()), vocab = static_cast<int64_t>(logits.size()) / count;
  int32_t slots = 1;
  for (const HeadRow& row : rows) slots = std::max(slots, row.slot + 1);
  DeviceArray<float> device_logits(backend, logits);
  DeviceArray<HeadRow> device_rows(backend, rows);
  DeviceArray<HeadResult> results(backend, std::vector<HeadResult>(count, {kUntouched, kUntouched, kUntouched}));
  DeviceArray<int32_t> last_tokens(backend, std::vector<int32_t>(slots, kUntouched));
  Head op{.logits = device_logits.matrix(count, vocab),
          .rows = device_rows.data(),
          .results = results.data(),
          .last_tokens = last_tokens.data()};
  sample ? backend.sample(op) : backend.score(op);
  return {results.download(), last_tokens.download()};
}

inline double log_probability(const std::vector<float>& logits, int64_t id) {
  double largest = -1e300, total = 0;
  for (float x : logits) largest = std::max(largest, static_cast<double>(x));
  for (float x : logits) total += std::exp(x - largest);
  return logits[id] - largest - std::log(total);
}

inline bool same(const HeadResult& a, const HeadResult& b) {
  return a.token == b.token && a.flags == b.flags && std::memcmp(&a.logprob, &b.logprob, 4) == 0;
}

}  // namespace penstock
