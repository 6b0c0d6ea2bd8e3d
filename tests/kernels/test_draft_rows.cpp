// Rows of sample that verify or draft: they draw what one row after the other would, with the drafts in its place.
#include "tests/kernels/edit_fixture.h"

using namespace penstock;

namespace {

// Sequences that are drawn ahead of: slot, rows of logits, and how each next token is drawn.
struct Chain {
  Slot slot;
  HeadRow how;  // of the first; `position` counts up
  std::vector<std::vector<float>> logits;
  std::vector<HeadResult> drawn;  // one after the other; ends with a draw that gave no token
};

class Chains {
 public:
  // The slots' vocabulary goes on `beyond` ids after the logits'.
  Chains(Backend& backend, int32_t count, int32_t vocab, int32_t beyond, uint32_t seed)
      : backend_(backend), vocab_(vocab), all_ids_(vocab + beyond) {
    std::mt19937 random(seed);
    for (int32_t c = 0; c < count; ++c) {
      Chain chain;
      chain.slot = random_slot(random, all_ids_), chain.how = random_row(random);
      chain.how.slot = c;
      if (c == 0) chain.how.edits = 0;
      const size_t draws = 1 + random() % (kMaxDrafts + 1);
      const auto flat = static_cast<float>(1 + random() % 3);
      for (size_t i = 0; i < draws; ++i) chain.logits.push_back(normal_values(vocab, random(), flat));
      chains_.push_back(std::move(chain));
    }
  }

  std::vector<Chain>& all() { return chains_; }
  const std::vector<Chain>& all() const { return chains_; }
  int32_t size() const { return static_cast<int32_t>(chains_.size()); }

  DeviceSlots prepared() const {
    DeviceSlots slots(backend_, size(), all_ids_);
    for (int32_t c = 0; c < size(); ++c)
      slots.prepare(c, chains_[c].slot.prompt, chains_[c].slot.generated, chains_[c].slot.edits);
    return slots;
  }

  // Draw i of every chain that goes on so far.
  HeadRun draw(int32_t i, DrawKind kind, const SlotState& slots, const std::vector<int32_t>& drafts = {}) const {
    std::vector<float> logits;
    std::vector<HeadRow> rows;
    for (const Chain& chain : chains_)
      if (goes_on(chain, i)) add(chain, i, kind, logits, rows);
    return run_head(backend_, true, logits, rows, slots, drafts);
  }

  // All draws at once, chain after chain. verify: what accept_drafts is told.
  HeadRun draw_all(DrawKind kind, const SlotState& slots, const std::vector<int32_t>& drafts,
                   std::vector<VerifyRow>& verify) const {
    std::vector<float> logits;
    std::vector<HeadRow> rows;
    for (const Chain& chain : chains_) {
      const auto last = static_cast<int32_t>(chain.drawn.size()) - 1;
      if (last > 0) verify.push_back({chain.how.slot, static_cast<int32_t>(rows.size()), last, chain.how.edits});
      for (int32_t i = 0; i <= last; ++i) add(chain, i, kind, logits, rows);
    }
    return run_head(backend_, true, logits, rows, slots, drafts);
  }

  std::vector<int32_t> drafts() const {
    std::vector<int32_t> drafts(size() * kMaxDrafts, kUntouched);
    for (const Chain& chain : chains_)
      for (size_t i = 0; i + 1 < chain.drawn.size(); ++i)
        drafts[chain.how.slot * kMaxDrafts + i] = chain.drawn[i].token;
    return drafts;
  }

  static bool goes_on(const Chain& chain, size_t i) {
    return i < chain.logits.size() && (i == 0 || (i <= chain.drawn.size() && chain.drawn[i - 1].token >= 0));
  }

 private:
  static void add(const Chain& chain, int32_t i, DrawKind kind, std::vector<float>& logits,
                  std::vector<HeadRow>& rows) {
    HeadRow row = chain.how;
    row.position += i, row.draw = kind, row.drafted = kind == DrawKind::next ? 0 : i;
    rows.push_back(row);
    logits.insert(logits.end(), chain.logits[i].begin(), chain.logits[i].end());
  }

  Backend& backend_;
  int32_t vocab_, all_ids_;
  std::vector<Chain> chains_;
};

// One after the other: what the others are held against.
std::vector<uint16_t> draw_one_by_one(Chains& chains) {
  DeviceSlots slots = chains.prepared();
  for (int32_t i = 0; i <= kMaxDrafts; ++i) {
    if (std::ranges::none_of(chains.all(), [&](const Chain& chain) { return Chains::goes_on(chain, i); })) break;
    const HeadRun run = chains.draw(i, DrawKind::next, slots.view());
    size_t r = 0;
    for (Chain& chain : chains.all())
      if (Chains::goes_on(chain, i)) chain.drawn.push_back(run.results[r++]);
  }
  return slots.counts();
}

void check_verify_rows(Backend& backend, Chains& chains, const std::vector<uint16_t>& want_counts) {
  DeviceSlots slots = chains.prepared();
  const auto before = slots.counts();
  const auto drafts = chains.drafts();
  std::vector<VerifyRow> verify;
  const HeadRun run = chains.draw_all(DrawKind::verify, slots.view(), drafts, verify);
  size_t r = 0;
  for (const Chain& chain : chains.all())
    for (const HeadResult& want : chain.drawn) CHECK(same(run.results[r++], want));
  CHECK(slots.counts() == before);
  CHECK(run.last_tokens == std::vector<int32_t>(run.last_tokens.size(), kUntouched));
  CHECK(run.drafts == drafts);

  DeviceArray<VerifyRow> rows(backend, verify);
  DeviceArray<HeadResult> results(backend, run.results);
  DeviceArray<int32_t> last_tokens(backend, std::vector<int32_t>(chains.size())), device_drafts(backend, drafts);
  backend.accept_drafts(
      {rows.data(), std::ssize(verify), results.data(), last_tokens.data(), device_drafts.data(), slots.view()});
  CHECK(std::ranges::equal(results.download(), run.results, same));  // none is rejected
  const auto counts = slots.counts();
  const size_t vocab = counts.size() / chains.size();
  for (const Chain& chain : chains.all()) {
    if (chain.drawn.size() < 2) continue;  // nothing to verify: DrawKind::next would have counted it
    const size_t at = chain.how.slot * vocab;
    CHECK(slice(counts, at, vocab) == slice(want_counts, at, vocab));
    CHECK(last_tokens.download()[chain.how.slot] == std::max(chain.drawn.back().token, 0));
  }
}

void check_draft_rows(Chains& chains) {
  DeviceSlots slots = chains.prepared();
  const auto before = slots.counts();
  std::vector<int32_t> drafts(chains.size() * kMaxDrafts, kUntouched), want = drafts;
  for (int32_t i = 0; i < kMaxDrafts; ++i) {
    if (std::ranges::none_of(chains.all(), [&](const Chain& chain) { return Chains::goes_on(chain, i); })) break;
    const HeadRun run = chains.draw(i, DrawKind::draft, slots.view(), drafts);
    drafts = run.drafts;
    CHECK(run.last_tokens == std::vector<int32_t>(run.last_tokens.size(), kUntouched));
    size_t r = 0;
    for (const Chain& chain : chains.all()) {
      if (!Chains::goes_on(chain, i)) continue;
      CHECK(same(run.results[r++], chain.drawn[i]));
      want[chain.how.slot * kMaxDrafts + i] = std::max(chain.drawn[i].token, 0);
    }
    CHECK(drafts == want);
  }
  CHECK(slots.counts() == before);
}

// How many draws the drafts before them decided.
int differ_with_other_drafts(const Chains& chains) {
  std::vector<int32_t> others = chains.drafts();
  std::ranges::fill(others, 0);
  std::vector<VerifyRow> verify;
  DeviceSlots slots = chains.prepared();
  const HeadRun run = chains.draw_all(DrawKind::verify, slots.view(), others, verify);
  int different = 0;
  size_t r = 0;
  for (const Chain& chain : chains.all())
    for (const HeadResult& want : chain.drawn) different += run.results[r++].token != want.token;
  return different;
}

}  // namespace

TEST_CASE("rows that verify or draft draw what one draw after the other does") {
  auto backend = test_backend();
  size_t longest = 0;
  int different = 0;
  for (int32_t vocab : {1, 7, 64, 301, 2503})
    for (int32_t beyond : {0, 1, 13})
      for (uint32_t seed = 1; seed <= 6; ++seed) {
        INFO("vocab " << vocab << " of " << vocab + beyond << ", seed " << seed);
        Chains chains(*backend, 9, vocab, beyond, seed * 100 + vocab);
        const auto counts = draw_one_by_one(chains);
        check_verify_rows(*backend, chains, counts);
        check_draft_rows(chains);
        for (const Chain& chain : chains.all()) longest = std::max(longest, chain.drawn.size());
        different += differ_with_other_drafts(chains);
      }
  CHECK(longest == kMaxDrafts + 1);
  CHECK(different > 100);
}

TEST_CASE("drafts count no further than counts go", "[sanitize]") {
  auto backend = test_backend();
  DeviceSlots slots(*backend, 1, 4);
  slots.prepare(0, {1}, std::vector<int32_t>(0x7FFD, 1), {});
  std::vector<int32_t> drafts(kMaxDrafts, 1);
  drafts[2] = 3, drafts[4] = 2;  // 3: the logits do not reach so far
  for (int32_t drafted = 0; drafted <= kMaxDrafts; ++drafted) {
    HeadRow row{.slot = 0, .frequency_penalty = 1, .edits = 1, .draw = DrawKind::verify, .drafted = drafted};
    const int32_t others = (drafted > 2) + (drafted > 4), times = std::min(0x7FFD + drafted - others, 0x7FFF);
    for (int32_t off : {-1, 0}) {
      INFO("drafted " << drafted << ", off " << off);
      const std::vector<float> logits = {0, static_cast<float>(times + off) + 0.5f, 0.25f};
      // Id 2 comes before id 0, until it is a draft too.
      const int32_t instead = drafted > 4 ? 0 : 2;
      const auto got = run_head(*backend, true, logits, {row}, slots.view(), drafts);
      CHECK(got.results[0].token == (off < 0 ? instead : 1));
    }
  }
}
