// The GPU and the CPU in one process: from the same logits both pick the same token. Hidden, as it needs a GPU, and
// fails without one.
#include "tests/kernels/sample_reference.h"

using namespace penstock;

namespace {

struct BothBackends {
  std::unique_ptr<Backend> cpu = cpu_backend(4), cuda = cuda_backend();
};

std::vector<float> row_of_kind(int kind, size_t vocab, uint32_t seed) {
  std::mt19937 random(seed);
  std::vector<float> row = normal_values(vocab, seed, kind == 0 ? 8.0f : kind == 1 ? 0.02f : 2.0f);
  switch (kind) {
    case 2:  // many ties
      for (float& x : row) x = std::round(x);
      break;
    case 3:  // few ids have a probability
      for (float& x : row) x = random() % (vocab / 16 + 1) == 0 ? x : -kInfinity;
      row[random() % vocab] = 0.5f;
      break;
    case 4:  // one has
      std::ranges::fill(row, -kInfinity);
      row[random() % vocab] = -3;
      break;
    case 5:  // all are equal: sums that round
      std::ranges::fill(row, -1.7f);
      break;
    case 6:  // one beside a long tail that only together reaches p
      for (float& x : row) x -= 14;
      row[random() % vocab] = 3;
      break;
    case 7:  // far from 0
      for (float& x : row) x = 1000 + x;
      break;
    default:
      break;
  }
  return row;
}
constexpr int kKinds = 8;

HeadRow random_row(std::mt19937& random, int32_t slot) {
  HeadRow row{
      .slot = slot, .position = static_cast<int32_t>(random() % 4096), .choice = static_cast<int32_t>(random() % 3)};
  row.seed = uint64_t{random()} << 32 | random();
  const float temperatures[] = {0, 0.3f, 0.7f, 1, 1, 1.6f}, top_ps[] = {1, 1, 0.95f, 0.9f, 0.5f, 0.01f, 0x1.fffffep-1f};
  row.temperature = temperatures[random() % std::size(temperatures)];
  row.top_p = top_ps[random() % std::size(top_ps)];
  if (random() % 3 == 0) row.top_k = static_cast<int32_t>(1 + random() % 100);
  if (random() % 3 == 0) row.min_p = random() % 2 ? 0.05f : 0.3f;
  if (random() % 3 == 0) row.top_logprobs = static_cast<int32_t>(1 + random() % kMaxTopLogprobs);
  return row;
}

struct Slot {
  std::vector<int32_t> prompt, generated;
  std::vector<LogitEdit> edits;
};

Slot random_slot(std::mt19937& random, int32_t vocab) {
  Slot slot;
  auto ids = [&](size_t count) {
    std::vector<int32_t> drawn(count);
    for (int32_t& id : drawn) id = static_cast<int32_t>(random() % vocab);
    return drawn;
  };
  slot.prompt = ids(random() % 500), slot.generated = ids(random() % 300);
  for (int32_t id : ids(random() % 100))
    slot.edits.push_back({.id = id,
                          .bias = random() % 4 == 0 ? -kInfinity : static_cast<float>(random() % 1000) / 100 - 5,
                          .until = random() % 2 ? INT32_MAX : static_cast<int32_t>(random() % 4096)});
  std::ranges::stable_sort(slot.edits, {}, &LogitEdit::id);
  return slot;
}

bool near(float a, float b) { return std::abs(a - b) <= 2e-5f + 2e-6f * std::abs(b); }

// Some ids stand among them twice, and some come from what the slot has.
std::vector<int32_t> random_drafts(std::mt19937& random, const Slot& slot, int32_t vocab) {
  std::vector<int32_t> drafts(kMaxDrafts);
  for (int32_t i = 0; i < kMaxDrafts; ++i) {
    drafts[i] = static_cast<int32_t>(random() % vocab);
    if (i > 0 && random() % 3 == 0) drafts[i] = drafts[random() % i];
    if (!slot.generated.empty() && random() % 3 == 0) drafts[i] = slot.generated[random() % slot.generated.size()];
  }
  return drafts;
}

enum class Kind { plain, edits, drafts };  // drafts: rows with edits that follow drafts, draft or verify

// A batch of rows on both; how many tokens differ. They may only where f32 cannot tell which is right.
int check_batch(BothBackends& both, int32_t vocab, int32_t count, uint32_t seed, Kind kind) {
  std::mt19937 random(seed);
  std::vector<float> logits;
  std::vector<HeadRow> rows;
  const int32_t all_ids = kind == Kind::drafts ? vocab + 3 : vocab;
  DeviceSlots cpu_slots(*both.cpu, count, all_ids), cuda_slots(*both.cuda, count, all_ids);
  std::vector<int32_t> drafts(count * kMaxDrafts);
  const bool edits = kind != Kind::plain;
  for (int32_t r = 0; r < count; ++r) {
    const auto row = row_of_kind(r % kKinds, vocab, random());
    logits.insert(logits.end(), row.begin(), row.end());
    rows.push_back(random_row(random, (r * 7 + 3) % count));
    if (!edits) continue;
    HeadRow& want = rows.back();
    want.edits = random() % 8 != 0;
    if (random() % 2) want.repetition_penalty = 0.8f + 0.1f * static_cast<float>(random() % 6);
    if (random() % 2) want.frequency_penalty = static_cast<float>(random() % 300) / 100 - 1;
    if (random() % 2) want.presence_penalty = static_cast<float>(random() % 300) / 100 - 1;
    const Slot slot = random_slot(random, all_ids);
    for (DeviceSlots* slots : {&cpu_slots, &cuda_slots})
      slots->prepare(want.slot, slot.prompt, slot.generated, slot.edits);
    if (kind != Kind::drafts) continue;
    std::ranges::copy(random_drafts(random, slot, all_ids), drafts.begin() + want.slot * kMaxDrafts);
    want.draw = random() % 2 ? DrawKind::verify : DrawKind::draft;
    want.drafted = static_cast<int32_t>(random() % (want.draw == DrawKind::verify ? kMaxDrafts + 1 : kMaxDrafts));
  }
  const auto cpu = run_head(*both.cpu, true, logits, rows, edits ? cpu_slots.view() : SlotState{}, drafts);
  const auto cuda = run_head(*both.cuda, true, logits, rows, edits ? cuda_slots.view() : SlotState{}, drafts);
  int different = 0;
  for (int32_t r = 0; r < count; ++r) {
    INFO("vocab " << vocab << ", seed " << seed << ", row " << r);
    const HeadResult &a = cpu.results[r], &b = cuda.results[r];
    REQUIRE(a.flags == b.flags);
    if (a.token != b.token) {
      ++different;
      REQUIRE((a.token >= 0 && b.token >= 0 && rows[r].temperature > 0));
      // Edited logits are the CPU's to the bit, so that what is close is a draw's or a filter's decision.
      if (rows[r].edits == 0) REQUIRE(reference_draw(slice(logits, size_t(r) * vocab, vocab), rows[r]).is_close(2e-4));
    } else {
      REQUIRE(near(b.logprob, a.logprob));
      REQUIRE(cuda.last_tokens[rows[r].slot] == cpu.last_tokens[rows[r].slot]);
    }
    for (int32_t i = 0; i < rows[r].top_logprobs; ++i) {
      const TopLogprob &x = cpu.top[r * kMaxTopLogprobs + i], &y = cuda.top[r * kMaxTopLogprobs + i];
      REQUIRE(y.id == x.id);
      REQUIRE(near(y.logprob, x.logprob));
    }
  }
  if (different > 0) return different;
  if (edits) CHECK(cuda_slots.counts() == cpu_slots.counts());
  CHECK(cuda.drafts == cpu.drafts);
  return different;
}

}  // namespace

TEST_CASE("the GPU draws the CPU's tokens from the same logits", "[.cuda]") {
  BothBackends both;
  for (Kind kind : {Kind::plain, Kind::edits, Kind::drafts}) {
    int all = 0, different = 0;
    for (int32_t vocab :
         {1, 5, 64, 1003, 32000, 49152, 128256, 151936, 262144})  // the last fill a GPU's blocks otherwise
      for (uint32_t seed = 1; seed <= (vocab < 10000 ? 40u : vocab < 130000 ? 8u : 2u); ++seed, all += 64)
        different += check_batch(both, vocab, 64, seed * 1000 + vocab, kind);
    INFO(different << " of " << all << " tokens differ, kind " << static_cast<int>(kind));
    CHECK(different <= all / 1000);
  }
}

TEST_CASE("the GPU scores as the CPU does", "[.cuda]") {
  BothBackends both;
  for (int32_t vocab : {1, 5, 64, 1003, 49152, 128256}) {
    std::mt19937 random(vocab);
    constexpr int32_t kRows = 48;
    std::vector<float> logits;
    std::vector<HeadRow> rows;
    for (int32_t r = 0; r < kRows; ++r) {
      const auto row = row_of_kind(r % kKinds, vocab, random());
      logits.insert(logits.end(), row.begin(), row.end());
      const auto best = static_cast<int32_t>(std::ranges::max_element(row) - row.begin());
      rows.push_back({.target = r % 2 ? best : static_cast<int32_t>(random() % vocab)});
      rows.back().top_logprobs = r % 5;
    }
    const auto cpu = run_head(*both.cpu, false, logits, rows), cuda = run_head(*both.cuda, false, logits, rows);
    for (int32_t r = 0; r < kRows; ++r) {
      INFO("vocab " << vocab << ", row " << r);
      const HeadResult &a = cpu.results[r], &b = cuda.results[r];
      REQUIRE((a.token == b.token && a.flags == b.flags));
      REQUIRE((a.logprob == b.logprob || near(b.logprob, a.logprob)));  // -inf is -inf
    }
  }
}
