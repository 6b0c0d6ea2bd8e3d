// Rows of logits through sample or score.
#pragma once
#include "tests/kernels/op_fixture.h"

namespace penstock {

struct HeadRun {
  std::vector<HeadResult> results;
  std::vector<int32_t> last_tokens;
  std::vector<TopLogprob> top;  // [rows, kMaxTopLogprobs]
  std::vector<int32_t> drafts;  // [slots, kMaxDrafts]
};

// The state of `slots` slots on the device. Before prepare() it is poison.
class DeviceSlots {
 public:
  DeviceSlots(Backend& backend, int64_t slots, int64_t vocab)
      : backend_(backend),
        slots_(slots),
        vocab_(vocab),
        counts_(backend, slots * vocab),
        edits_(backend, slots * kMaxLogitEdits),
        num_edits_(backend, slots) {}

  SlotState view() const {
    return {.counts = counts_.data(),
            .edits = edits_.data(),
            .num_edits = num_edits_.data(),
            .slots = slots_,
            .vocab = vocab_};
  }
  void prepare(int32_t slot, const std::vector<int32_t>& prompt, const std::vector<int32_t>& generated,
               const std::vector<LogitEdit>& edits) {
    backend_.prepare_slot({.slots = view(), .slot = slot, .prompt = prompt, .generated = generated, .edits = edits});
  }
  std::vector<uint16_t> counts() const { return counts_.download(); }
  std::vector<int32_t> num_edits() const { return num_edits_.download(); }
  std::vector<LogitEdit> edits() const { return edits_.download(); }

 private:
  Backend& backend_;
  int64_t slots_, vocab_;
  DeviceArray<uint16_t> counts_;
  DeviceArray<LogitEdit> edits_;
  DeviceArray<int32_t> num_edits_;
};

constexpr int32_t kUntouched = -77;

// `drafts`: of all slots, where rows look at them.
inline HeadRun run_head(Backend& backend, bool sample, const std::vector<float>& logits,
                        const std::vector<HeadRow>& rows, const SlotState& slot_state = {},
                        const std::vector<int32_t>& drafts = {}) {
  int64_t count = static_cast<int64_t>(rows.size()), vocab = static_cast<int64_t>(logits.size()) / count;
  int32_t slots = 1;
  for (const HeadRow& row : rows) slots = std::max(slots, row.slot + 1);
  DeviceArray<float> device_logits(backend, logits);
  DeviceArray<HeadRow> device_rows(backend, rows);
  DeviceArray<HeadResult> results(backend, std::vector<HeadResult>(count, {kUntouched, kUntouched, kUntouched}));
  DeviceArray<int32_t> last_tokens(backend, std::vector<int32_t>(slots, kUntouched));
  DeviceArray<int32_t> device_drafts(backend, drafts);
  DeviceArray<TopLogprob> top(backend, std::vector<TopLogprob>(count * kMaxTopLogprobs, {kUntouched, kUntouched}));
  Head op{.logits = device_logits.matrix(count, vocab),
          .rows = device_rows.data(),
          .results = results.data(),
          .last_tokens = last_tokens.data(),
          .top = top.data(),
          .slots = slot_state,
          .drafts = drafts.empty() ? nullptr : device_drafts.data()};
  sample ? backend.sample(op) : backend.score(op);
  CHECK(bit_difference(device_logits.download(), logits) == "");
  return {results.download(), last_tokens.download(), top.download(), device_drafts.download()};
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
