// Rows of logits as ranks see them, each a part: candidates, tallies, and what is left then sampled whole, as a decoder
// does; beside the same rows sampled whole at once.
#pragma once
#include "kernels/candidates.h"
#include "tests/kernels/edit_fixture.h"

namespace penstock {

// Row r's slot is want[r].slot, below the number of rows.
struct HostRows {
  int64_t vocab;
  std::vector<HeadRow> want;
  std::vector<float> logits;         // [rows, vocab]
  std::vector<Slot> slots = {};      // by number; empty where no row has edits
  std::vector<int32_t> drafts = {};  // [rows, kMaxDrafts], or none

  int64_t count() const { return static_cast<int64_t>(want.size()); }
  void add(const HeadRow& row, const std::vector<float>& values) {
    want.push_back(row);
    logits.insert(logits.end(), values.begin(), values.end());
  }
  // Padding columns are not looked at.
  std::vector<float> columns(int64_t first, int64_t ids, int64_t width) const {
    std::vector<float> part(count() * width, kNan);
    for (int64_t r = 0; r < count(); ++r)
      std::copy_n(logits.begin() + r * vocab + first, ids, part.begin() + r * width);
    return part;
  }
};

struct Outcome {
  std::vector<HeadResult> results;
  std::vector<int32_t> last_tokens, drafts;
  std::vector<uint16_t> counts;  // of slots with edits
  std::vector<HeadRow> others;   // padding: candidates decided the row
  bool is_decided(size_t r) const { return is_padding(others[r]); }
  size_t num_decided() const { return std::ranges::count_if(others, is_padding); }
};

// The same tokens, flags and state, and log-probabilities within roundings.
inline void check_equal(const Outcome& got, const Outcome& want) {
  for (size_t r = 0; r < want.results.size(); ++r) {
    INFO("row " << r << (got.is_decided(r) ? ", decided" : ", sampled whole"));
    CHECK(got.results[r].token == want.results[r].token);
    CHECK(got.results[r].flags == want.results[r].flags);
    CHECK(std::abs(got.results[r].logprob - want.results[r].logprob) <= 1e-5);
  }
  CHECK(got.last_tokens == want.last_tokens);
  CHECK(got.drafts == want.drafts);
  CHECK(got.counts == want.counts);
}

// One rank's part of the ids, `stride` of them or what is left, and its copies of all that it writes.
class RankRows {
 public:
  RankRows(Backend& backend, const HostRows& host, int rank, int64_t stride)
      : backend_(backend),
        host_(host),
        first_(std::min(host.vocab, rank * stride)),
        ids_(std::min(host.vocab, first_ + stride) - first_),
        stride_(stride),
        part_(backend, host.columns(first_, ids_, stride)),
        edited_(backend, std::vector<float>(host.count() * stride, -1)),  // what must not be taken for logits
        rows_(backend, host.want),
        open_(backend, host.want),
        others_(backend, host.want),
        candidates_(backend, host.count() * kCandidateParts),
        tallies_(backend, host.count() * kCandidateParts),
        results_(backend, host.count()),
        last_tokens_(backend, host.count()),
        drafts_(backend, host.count() * kMaxDrafts),
        top_(backend, host.count() * kMaxTopLogprobs),
        slots_(backend, host.count(), host.vocab) {
    reset();
  }

  // As before the first draw.
  void reset() {
    for (size_t s = 0; s < host_.slots.size(); ++s) {
      const Slot& slot = host_.slots[s];
      slots_.prepare(static_cast<int32_t>(s), slot.prompt, slot.generated, slot.edits);
    }
    results_.upload(std::vector<HeadResult>(host_.count(), {-5, -5, -5}));
    last_tokens_.upload(std::vector<int32_t>(host_.count(), -7));
    std::vector<int32_t> drafts = host_.drafts;
    drafts.resize(host_.count() * kMaxDrafts, -1);
    drafts_.upload(drafts);
    // Padding, and rows without filters, have none written: those must not be looked at, but they are brought along.
    candidates_.upload(std::vector<Candidate>(host_.count() * kCandidateParts, {.key = kNan, .bad = 1}));
    tallies_.upload(std::vector<Tally>(host_.count() * kCandidateParts, {.before = {-1, kNan}, .step = {}}));
  }

  // Where nobody says otherwise edited logits are on their own.
  Tensor edited() const { return edited_.matrix(host_.count(), stride_); }
  RankLogits part(const Tensor& edited) const { return {part_.matrix(host_.count(), stride_), first_, ids_, edited}; }
  Head head() const {
    return {.logits = {nullptr, DType::f32, host_.count(), host_.vocab, host_.vocab},
            .rows = rows_.data(),
            .results = results_.data(),
            .last_tokens = last_tokens_.data(),
            .top = top_.data(),
            .slots = host_.slots.empty() ? SlotState{} : slots_.view(),
            .drafts = drafts_.data()};
  }

  void find(const Tensor& edited) { backend_.find_candidates({part(edited), head(), candidates_.data()}); }
  void choose(const Tensor& edited, const Candidate* all, int ranks) {
    backend_.choose_candidates({part(edited), head(), all, ranks, tallies_.data(), open_.data(), others_.data()});
  }
  void settle(const Tally* all, int ranks) {
    Head open = head();
    open.rows = open_.data();
    backend_.settle_candidates({open, all, ranks, others_.data()});
  }
  // logits: of all ids.
  void sample(const Tensor& logits, const HeadRow* rows) {
    Head head = this->head();
    head.logits = logits, head.rows = rows;
    backend_.sample(head);
    backend_.score(head);
  }

  const HeadRow* rows() const { return rows_.data(); }
  const HeadRow* open() const { return open_.data(); }
  const HeadRow* others() const { return others_.data(); }
  const DeviceArray<Candidate>& candidates() const { return candidates_; }
  const DeviceArray<Tally>& tallies() const { return tallies_; }
  // of_others: else as if all rows had been sampled whole.
  Outcome outcome(bool of_others) const {
    return {.results = results_.download(),
            .last_tokens = last_tokens_.download(),
            .drafts = drafts_.download(),
            .counts = host_.slots.empty() ? std::vector<uint16_t>{} : slots_.counts(),
            .others = of_others ? others_.download() : host_.want};
  }

 private:
  Backend& backend_;
  const HostRows& host_;
  int64_t first_, ids_, stride_;
  DeviceArray<float> part_, edited_;
  DeviceArray<HeadRow> rows_, open_, others_;
  DeviceArray<Candidate> candidates_;
  DeviceArray<Tally> tallies_;
  DeviceArray<HeadResult> results_;
  DeviceArray<int32_t> last_tokens_, drafts_;
  DeviceArray<TopLogprob> top_;
  DeviceSlots slots_;
};

inline Outcome sampled_whole(Backend& backend, const HostRows& host) {
  RankRows rank(backend, host, 0, host.vocab);
  const DeviceArray<float> logits(backend, host.logits);
  rank.sample(logits.matrix(host.count(), host.vocab), rank.rows());
  return rank.outcome(false);
}

// [rows, kCandidateParts] of each rank → [rows, ranks, kCandidateParts].
template <class T>
std::vector<T> side_by_side(const std::vector<std::vector<T>>& parts, size_t rows) {
  std::vector<T> all;
  for (size_t r = 0; r < rows; ++r)
    for (const std::vector<T>& part : parts)
      all.insert(all.end(), part.begin() + r * kCandidateParts, part.begin() + (r + 1) * kCandidateParts);
  return all;
}

// As if there were `size` ranks, one after the other; what they exchange goes over the host. Checks that they agree.
inline Outcome sampled_in_parts(Backend& backend, const HostRows& host, int size) {
  std::vector<std::unique_ptr<RankRows>> ranks;
  for (int r = 0; r < size; ++r)
    ranks.push_back(std::make_unique<RankRows>(backend, host, r, (host.vocab + size - 1) / size));
  std::vector<std::vector<Candidate>> found;
  for (auto& rank : ranks) rank->find(rank->edited()), found.push_back(rank->candidates().download());
  const DeviceArray<Candidate> candidates(backend, side_by_side(found, host.want.size()));
  std::vector<std::vector<Tally>> counted;
  for (auto& rank : ranks)
    rank->choose(rank->edited(), candidates.data(), size), counted.push_back(rank->tallies().download());
  const DeviceArray<Tally> tallies(backend, side_by_side(counted, host.want.size()));
  const DeviceArray<float> logits(backend, host.logits);
  for (auto& rank : ranks) {
    rank->settle(tallies.data(), size);
    rank->sample(logits.matrix(host.count(), host.vocab), rank->others());
  }
  const Outcome outcome = ranks[0]->outcome(true);
  for (auto& rank : ranks) {
    const Outcome other = rank->outcome(true);
    for (size_t r = 0; r < host.want.size(); ++r) {
      CHECK(same(other.results[r], outcome.results[r]));
      CHECK(std::memcmp(&other.others[r], &outcome.others[r], sizeof(HeadRow)) == 0);
    }
    CHECK((other.last_tokens == outcome.last_tokens && other.counts == outcome.counts));
  }
  return outcome;
}

}  // namespace penstock
