// The same with filters: the token of most rows is known from candidates and tallies, and is that of the whole row.
#include "tests/kernels/candidate_fixture.h"
#include "tests/kernels/rank_fixture.h"
#include "tests/kernels/sample_reference.h"

namespace penstock {
namespace {

std::vector<float> row_of_kind(int kind, size_t vocab, std::mt19937& random) {
  const float deviations[] = {1, 3, 12, 3, 3, 3};
  std::vector<float> row = normal_values(vocab, random(), deviations[kind]);
  switch (kind) {
    case 3:  // ties
      for (float& x : row) x = std::round(x);
      break;
    case 4:  // few ids have a probability
      for (float& x : row) x = random() % (vocab / 16 + 1) == 0 ? x : -kInfinity;
      row[random() % vocab] = 0.5f;
      break;
    case 5:  // all are equal
      std::ranges::fill(row, -1.7f);
      break;
    default:
      break;
  }
  return row;
}
constexpr int kKinds = 6;

HeadRow filtered_row(std::mt19937& random, int32_t slot, int32_t vocab) {
  const float temperatures[] = {0, 0.3f, 1, 1.6f}, min_ps[] = {0, 0, 0.05f, 1},
              top_ps[] = {1, 0x1.fffffep-1f, 0.99999f, 0.95f, 0.5f, 0.05f, 1e-5f, 1e-30f};
  const int32_t top_ks[] = {0, 0, 1, 2, 20, vocab / 2, vocab, vocab + 5};
  return {.slot = slot,
          .temperature = temperatures[random() % std::size(temperatures)],
          .top_p = top_ps[random() % std::size(top_ps)],
          .min_p = min_ps[random() % std::size(min_ps)],
          .top_k = top_ks[random() % std::size(top_ks)],
          .position = static_cast<int32_t>(random() % 4096),
          .seed = random()};
}

HostRows filtered_rows(int32_t vocab, int32_t count, std::mt19937& random) {
  HostRows host{vocab, {}, {}};
  for (int32_t r = 0; r < count; ++r) host.add(filtered_row(random, r, vocab), row_of_kind(r % kKinds, vocab, random));
  return host;
}

// With or without any filter, any edit, and drafts before it.
HostRows mixed_rows(int32_t vocab, int32_t count, std::mt19937& random) {
  HostRows host{vocab, {}, {}, std::vector<Slot>(count), std::vector<int32_t>(count * kMaxDrafts)};
  for (int32_t& draft : host.drafts) draft = static_cast<int32_t>(random() % vocab);
  for (int32_t r = 0; r < count; ++r) {
    HeadRow row = random_row(random);
    row.slot = r;
    row.edits = static_cast<int16_t>(random() % 2);
    if (random() % 8 == 0) row.top_logprobs = 3;
    if (r % 3 == 0) row.draw = DrawKind::verify, row.drafted = r % (kMaxDrafts + 1);
    host.slots[r] = random_slot(random, vocab);
    host.add(row, normal_values(vocab, random(), 3));
  }
  return host;
}

double mass_of(const std::vector<float>& logits, const std::vector<int32_t>& ids, float temperature) {
  double mass = 0;
  for (int32_t id : ids) mass += std::exp(logits[id] / temperature);
  return mass;
}

// Which share of rows like `how` is decided, and which ought to be: that of the mass which the filters keep.
struct Shares {
  double decided = 0, kept = 0;
};
Shares shares_of(Backend& backend, const HeadRow& how, float deviation, int32_t count) {
  constexpr int64_t kVocab = 1504;
  HostRows host{kVocab, {}, {}};
  Shares shares;
  for (int32_t r = 0; r < count; ++r) {
    const std::vector<float> logits = normal_values(kVocab, 7000 + r, deviation);
    HeadRow row = how, plain{.temperature = how.temperature};
    row.slot = r, row.seed = 31 + r;
    shares.kept += mass_of(logits, kept_ids(logits, how).ids, how.temperature) /
                   mass_of(logits, kept_ids(logits, plain).ids, how.temperature) / count;
    host.add(row, logits);
  }
  const Outcome parts = sampled_in_parts(backend, host, 2);
  check_equal(parts, sampled_whole(backend, host));
  shares.decided = static_cast<double>(parts.num_decided()) / count;
  return shares;
}

// What a decoder of several ranks does with its logits, over a communicator and in a graph.
std::vector<Outcome> replayed(Rank rank, const HostRows& host, int64_t stride) {
  const int size = rank.communicator.size();
  const int64_t count = host.count();
  RankRows rows(rank.backend, host, rank.number, stride);
  const DeviceArray<Candidate> candidates(rank.backend, count * size * kCandidateParts);
  const DeviceArray<Tally> tallies(rank.backend, count * size * kCandidateParts);
  const DeviceArray<float> logits(rank.backend, count * size * stride);
  const Tensor all = logits.matrix(count, size * stride), edited = all.columns(rank.number * stride, stride);
  const auto floats = [count](const void* data, size_t bytes) {
    const auto cols = static_cast<int64_t>(bytes / sizeof(float));
    return Tensor{const_cast<void*>(data), DType::f32, count, cols, cols};
  };
  const size_t candidate_bytes = kCandidateParts * sizeof(Candidate), tally_bytes = kCandidateParts * sizeof(Tally);
  const auto draw = [&] {
    rows.find(edited);
    rank.communicator.all_gather_columns(floats(candidates.data(), size * candidate_bytes),
                                         floats(rows.candidates().data(), candidate_bytes));
    rows.choose(edited, candidates.data(), size);
    rank.communicator.all_gather_columns(floats(tallies.data(), size * tally_bytes),
                                         floats(rows.tallies().data(), tally_bytes), rows.open());
    rows.settle(tallies.data(), size);
    rank.communicator.all_gather_columns(all, rows.part(edited).logits, rows.others());
    rows.sample(all.columns(0, host.vocab), rows.others());
  };
  draw();
  rank.communicator.rest();
  const auto graph = rank.backend.record(draw);
  std::vector<Outcome> outcomes;
  for (int replay = 0; replay < 3; ++replay) {
    rows.reset();
    rank.communicator.rest();
    graph->replay();
    rank.communicator.rest();
    outcomes.push_back(rows.outcome(true));
  }
  rank.communicator.rest();
  return outcomes;
}

// Checks rows in parts against whole ones, and that most were decided, but not all.
class Comparison {
 public:
  explicit Comparison(Backend& backend) : backend_(backend) {}
  void compare(const HostRows& host, std::initializer_list<int> ranks_of_each) {
    const Outcome whole = sampled_whole(backend_, host);
    for (int ranks : ranks_of_each) {
      INFO(ranks << " parts of " << host.vocab);
      const Outcome parts = sampled_in_parts(backend_, host, ranks);
      check_equal(parts, whole);
      decided_ += parts.num_decided(), all_ += host.want.size();
    }
  }
  void check_shares() const {
    CHECK(decided_ > all_ / 2);
    CHECK(decided_ < all_);
  }

 private:
  Backend& backend_;
  size_t decided_ = 0, all_ = 0;
};

}  // namespace

TEST_CASE("filtered rows get the whole row's token, decided or left") {
  auto backend = test_backend();
  std::mt19937 random(3);
  Comparison comparison(*backend);
  for (int32_t vocab : {5, 64, 320, 1003, 32064})
    comparison.compare(filtered_rows(vocab, vocab < 2000 ? 480 : 72, random), {1, 2, 3, 8});
  comparison.check_shares();
}

TEST_CASE("filters and edits together", "[candidates][sanitize]") {
  auto backend = test_backend();
  std::mt19937 random(5);
  Comparison comparison(*backend);
  for (int32_t vocab : {67, 2501}) comparison.compare(mixed_rows(vocab, 96, random), {2, 3});
  comparison.check_shares();
}

TEST_CASE("a rank that has no id above -inf counts none", "[candidates][sanitize]") {
  auto backend = test_backend();
  constexpr int32_t kRows = 40, kVocab = 80;
  HostRows host{kVocab, {}, {}, std::vector<Slot>(kRows)};
  for (int32_t r = 0; r < kRows; ++r) {
    std::vector<float> logits(kVocab, 0);
    std::fill_n(logits.begin() + (r % 2 ? kVocab / 2 : 0), kVocab / 2, -kInfinity);
    host.add({.slot = r, .temperature = 1, .top_p = 0.5f, .seed = 7u + r, .edits = static_cast<int16_t>(r % 4 > 0)},
             logits);
  }
  const Outcome parts = sampled_in_parts(*backend, host, 2);
  check_equal(parts, sampled_whole(*backend, host));
  CHECK(parts.num_decided() > kRows / 4);
}

// Rows are left when the largest key is beyond the filters' end, which happens by the mass there; with both filters
// also when the tallies' steps are too wide to tell.
TEST_CASE("as many rows are decided as have their largest key within the filters") {
  auto backend = test_backend();
  struct Case {
    HeadRow how;
    float deviation;
    double unclear;  // the most that may be left beside
  };
  const HeadRow drawn{.temperature = 1};
  HeadRow top_p = drawn, low_p = drawn, top_k = drawn, min_p = drawn, both = drawn, all = drawn, cool = drawn;
  top_p.top_p = 0.95f, low_p.top_p = 0.5f, top_k.top_k = 50, min_p.min_p = 0.02f;
  both.top_k = 20, both.top_p = 0.95f;
  all.top_k = 64, all.top_p = 0.9f, all.min_p = 0.01f;
  cool.temperature = 0.6f, cool.top_k = 20, cool.top_p = 0.95f;
  for (const Case& one : {Case{top_p, 1, 0}, Case{top_p, 3, 0}, Case{low_p, 3, 0}, Case{top_k, 3, 0}, Case{min_p, 3, 0},
                          Case{both, 3, 0.01}, Case{all, 3, 0.01}, Case{cool, 3, 0.01}}) {
    constexpr int32_t kRows = 1500;
    const Shares shares = shares_of(*backend, one.how, one.deviation, kRows);
    const double deviation = std::sqrt(shares.kept * (1 - shares.kept) / kRows);
    INFO("top-p " << one.how.top_p << ", top-k " << one.how.top_k << ", min-p " << one.how.min_p << ": decided "
                  << shares.decided << ", kept " << shares.kept);
    CHECK(shares.decided <= shares.kept + 4 * deviation);
    CHECK(shares.decided >= shares.kept - 4 * deviation - one.unclear);
  }
}

TEST_CASE("ranks that exchange candidates and tallies draw as one does", "[candidates][ranks]") {
  std::mt19937 random(9);
  for (int size : {2, 3, 4}) {
    Ranks ranks(size);
    for (int32_t vocab : {300, 2501})
      for (int filters : {0, 1, 2}) {  // no row has any, some have, nearly all
        HostRows host = filters == 1 ? mixed_rows(vocab, 40, random) : filtered_rows(vocab, 40, random);
        for (HeadRow& row : host.want)
          if (filters == 0) row.top_p = 1, row.top_k = 0, row.min_p = 0;
        const int64_t stride = (vocab + size - 1) / size;
        const Outcome whole = sampled_whole(*test_backend(), host);
        INFO(size << " ranks, vocab " << vocab << ", filters " << filters);
        std::vector<std::vector<Outcome>> outcomes(size);
        const auto codes = ranks.run([&](Rank rank) { outcomes[rank.number] = replayed(rank, host, stride); });
        REQUIRE(codes == ranks.all(ExitCode::ok));
        for (const auto& of_rank : outcomes)
          for (const Outcome& outcome : of_rank) check_equal(outcome, whole);
      }
  }
}

}  // namespace penstock
