// accept_drafts against a model that goes through a row's draws one by one; draw_from_table by what it promises.
#include "tests/kernels/head_fixture.h"

using namespace penstock;

namespace {

// What accept_drafts reads and writes, on the host.
struct Verification {
  std::vector<VerifyRow> rows;
  std::vector<HeadResult> results;
  std::vector<int32_t> last_tokens, drafts;
  std::vector<uint16_t> counts;
};

constexpr int32_t kVocab = 12;  // so few that ids are drawn several times

// How often each thing happened that a row can meet.
struct Seen {
  int none = 0, all = 0, between = 0, no_token = 0, saturated = 0;
};

void accept_slowly(Verification& v, Seen& seen) {
  for (const VerifyRow& row : v.rows) {
    if (row.slot < 0) continue;
    std::vector<int32_t> drawn;
    int32_t i = 0;
    do drawn.push_back(v.results[row.first + i].token);
    while (i < row.drafts && drawn.back() == v.drafts[row.slot * kMaxDrafts + i++]);
    const auto accepted = static_cast<int32_t>(drawn.size()) - 1;
    ++(accepted == 0 ? seen.none : accepted == row.drafts ? seen.all : seen.between);
    seen.no_token += drawn.back() < 0;
    v.last_tokens[row.slot] = std::max(drawn.back(), 0);
    for (int32_t later = accepted + 1; later <= row.drafts; ++later)
      v.results[row.first + later].flags = HeadResult::kRejected;
    if (row.edits == 0) continue;
    for (int32_t id : drawn) {
      if (id < 0) continue;
      uint16_t& count = v.counts[row.slot * kVocab + id];
      if ((count & 0x7FFF) == 0x7FFF)
        ++seen.saturated;
      else
        ++count;
    }
  }
}

// Rows of every kind for half of the slots. Draws and drafts agree up to somewhere, and here and there behind it.
Verification random_verification(std::mt19937& random, int32_t rows) {
  Verification v;
  const int32_t slots = 2 * rows + 1;
  v.last_tokens.assign(slots, kUntouched), v.drafts.resize(slots * kMaxDrafts), v.counts.resize(slots * kVocab);
  auto id = [&] { return static_cast<int32_t>(random() % kVocab); };
  for (int32_t& draft : v.drafts) draft = id();
  for (uint16_t& count : v.counts)
    count = static_cast<uint16_t>(random() % 2 << 15 | (random() % 3 ? random() % 4 : 0x7FF8 + random() % 8));
  for (int32_t r = 0; r < rows; ++r) {
    if (random() % 8 == 0) v.rows.push_back({});
    VerifyRow row{.slot = 2 * (rows - r) - 1, .drafts = static_cast<int32_t>(1 + random() % kMaxDrafts)};
    row.edits = random() % 4 != 0;
    v.results.resize(v.results.size() + random() % 3, {kUntouched, kUntouched, kUntouched});
    row.first = static_cast<int32_t>(v.results.size());
    const int32_t agree = random() % 3 ? static_cast<int32_t>(random() % (row.drafts + 1)) : row.drafts;
    for (int32_t i = 0; i <= row.drafts; ++i) {
      const bool agrees = i < agree || random() % 3 == 0;
      const int32_t other = random() % 4 == 0 ? -1 : id();
      v.results.push_back({.token = agrees && i < row.drafts ? v.drafts[row.slot * kMaxDrafts + i] : other,
                           .logprob = static_cast<float>(i),
                           .flags = other < 0 ? HeadResult::kNonFinite : 0});
    }
    v.rows.push_back(row);
  }
  return v;
}

Verification run_accept(Backend& backend, const Verification& v) {
  const auto slots = static_cast<int64_t>(v.last_tokens.size());
  DeviceArray<VerifyRow> rows(backend, v.rows);
  DeviceArray<HeadResult> results(backend, v.results);
  DeviceArray<int32_t> last_tokens(backend, v.last_tokens), drafts(backend, v.drafts);
  DeviceArray<uint16_t> counts(backend, v.counts);
  DeviceSlots others(backend, slots, kVocab);
  SlotState state = others.view();
  state.counts = counts.data();
  backend.accept_drafts({.rows = rows.data(),
                         .count = std::ssize(v.rows),
                         .results = results.data(),
                         .last_tokens = last_tokens.data(),
                         .drafts = drafts.data(),
                         .slots = state});
  return {rows.download(), results.download(), last_tokens.download(), drafts.download(), counts.download()};
}

// Of draw_from_table over these rows, after draws of token 0 (-1 where `no_token`).
struct TableRun {
  std::vector<HeadResult> results;
  std::vector<int32_t> last_tokens, drafts;
};

TableRun run_table(Backend& backend, const std::vector<HeadRow>& rows, int32_t vocab, float agreement,
                   size_t no_token = SIZE_MAX) {
  const auto count = static_cast<int64_t>(rows.size());
  int32_t slots = 1;
  for (const HeadRow& row : rows) slots = std::max(slots, row.slot + 1);
  std::vector<HeadResult> drawn(count, {0, -2.5f, 0});
  if (no_token < drawn.size()) drawn[no_token].token = -1;
  DeviceArray<float> logits(backend, static_cast<size_t>(count * vocab));
  DeviceArray<HeadRow> device_rows(backend, rows);
  DeviceArray<HeadResult> results(backend, drawn);
  DeviceArray<int32_t> last_tokens(backend, std::vector<int32_t>(slots, kUntouched));
  DeviceArray<int32_t> drafts(backend, std::vector<int32_t>(slots * kMaxDrafts, kUntouched));
  Head head{logits.matrix(count, vocab), device_rows.data(), results.data(), last_tokens.data(), nullptr, {}};
  head.drafts = drafts.data();
  backend.draw_from_table({.head = head, .vocab = vocab, .agreement = agreement});
  return {results.download(), last_tokens.download(), drafts.download()};
}

std::vector<HeadRow> table_rows(int32_t count, DrawKind draw) {
  std::mt19937 random(7);
  std::vector<HeadRow> rows;
  for (int32_t r = 0; r < count; ++r)
    rows.push_back({.slot = r,
                    .position = static_cast<int32_t>(random() % 500),
                    .choice = static_cast<int32_t>(random() % 3),
                    .seed = random(),
                    .draw = draw,
                    .drafted = r % kMaxDrafts});
  return rows;
}

}  // namespace

TEST_CASE("accept_drafts keeps the draws up to the first that differs from its draft", "[sanitize]") {
  auto backend = test_backend();
  std::mt19937 random(3);
  Seen seen;
  for (int32_t rows : {1, 2, 5, 33, 600})
    for (int round = 0; round < 20; ++round) {
      INFO(rows << " rows, round " << round);
      Verification want = random_verification(random, rows);
      const Verification got = run_accept(*backend, want);
      accept_slowly(want, seen);
      CHECK(got.last_tokens == want.last_tokens);
      CHECK(got.counts == want.counts);
      CHECK(got.drafts == want.drafts);
      CHECK(std::ranges::equal(got.results, want.results, same));
    }
  for (int times : {seen.none, seen.all, seen.between, seen.no_token, seen.saturated}) CHECK(times > 100);
}

TEST_CASE("accept_drafts needs its arrays, and slots only for rows that count") {
  auto backend = test_backend();
  DeviceArray<VerifyRow> rows(*backend, {{.slot = 0, .first = 0, .drafts = 1}});
  DeviceArray<HeadResult> results(*backend, {{.token = 4}, {.token = 5}});
  DeviceArray<int32_t> last_tokens(*backend, 1), drafts(*backend, std::vector<int32_t>(kMaxDrafts, 4));
  const AcceptDrafts op{rows.data(), 1, results.data(), last_tokens.data(), drafts.data(), {}};
  backend->accept_drafts(op);
  CHECK(last_tokens.download() == std::vector<int32_t>{5});
  AcceptDrafts none = op;
  none.count = 0;
  backend->accept_drafts(none);
  AcceptDrafts lacks = op;
  lacks.drafts = nullptr;
  CHECK_THROWS_AS(backend->accept_drafts(lacks), Error);
  AcceptDrafts part = op;
  part.slots.counts = reinterpret_cast<uint16_t*>(results.data());
  CHECK_THROWS_AS(backend->accept_drafts(part), Error);
}

TEST_CASE("a table's token depends on seed, choice and position alone") {
  auto backend = test_backend();
  constexpr int32_t kRows = 300, kTable = 1000;
  const auto next = table_rows(kRows, DrawKind::next);
  const auto want = run_table(*backend, next, kTable, 0.5f);
  for (auto rows : {table_rows(kRows, DrawKind::verify), table_rows(kRows, DrawKind::draft)}) {
    const auto got = run_table(*backend, rows, kTable, 1);
    for (int32_t r = 0; r < kRows; ++r) CHECK(same(got.results[r], want.results[r]));
  }
  auto some = next;
  std::ranges::reverse(some);
  some.resize(41);
  const auto got = run_table(*backend, some, kTable, 1);
  for (size_t r = 0; r < some.size(); ++r) CHECK(same(got.results[r], want.results[kRows - 1 - r]));
  for (auto change : {+[](HeadRow& row) { row.seed++; }, +[](HeadRow& row) { row.choice++; },
                      +[](HeadRow& row) { row.position++; }}) {
    auto rows = next;
    std::ranges::for_each(rows, change);
    const auto other = run_table(*backend, rows, kTable, 1);
    int equal = 0;
    for (int32_t r = 0; r < kRows; ++r) equal += other.results[r].token == want.results[r].token;
    CHECK(equal < 10);  // of 300, one in a thousand by chance
  }
}

TEST_CASE("drafts agree with the table at the rate that was asked for") {
  auto backend = test_backend();
  constexpr int32_t kRows = 20000, kTable = 16;
  const auto table = run_table(*backend, table_rows(kRows, DrawKind::verify), kTable, 0);
  std::vector<int> times(kTable);
  for (const HeadResult& result : table.results) times.at(result.token)++;
  // Five standard deviations, of a binomial distribution each; the draws are a fixed sequence.
  auto deviation = [](double p) { return 5 * std::sqrt(kRows * p * (1 - p)); };
  for (int count : times) CHECK(std::abs(count - kRows / kTable) <= deviation(1.0 / kTable));
  for (float agreement : {0.0f, 0.1f, 0.8f, 1.0f}) {
    const auto drafts = run_table(*backend, table_rows(kRows, DrawKind::draft), kTable, agreement);
    int equal = 0;
    for (int32_t r = 0; r < kRows; ++r) {
      equal += drafts.results[r].token == table.results[r].token;
      REQUIRE((drafts.results[r].token >= 0 && drafts.results[r].token < kTable));
    }
    INFO("agreement " << agreement << ", " << equal << " of " << kRows);
    CHECK(std::abs(equal - kRows * static_cast<double>(agreement)) <= deviation(agreement));
  }
}

TEST_CASE("draw_from_table writes where sample would, and leaves other rows alone", "[sanitize]") {
  auto backend = test_backend();
  std::vector<HeadRow> rows = table_rows(6, DrawKind::next);
  rows[1].draw = DrawKind::verify, rows[2].draw = DrawKind::draft;
  rows[3].slot = -1, rows[4].target = 1;
  const auto got = run_table(*backend, rows, 1000, 1, 5);
  std::vector<int32_t> last_tokens(6, kUntouched), drafts(6 * kMaxDrafts, kUntouched);
  last_tokens[0] = got.results[0].token, drafts[2 * kMaxDrafts + 2] = got.results[2].token;
  CHECK(got.last_tokens == last_tokens);
  CHECK(got.drafts == drafts);
  for (int r : {0, 1, 2}) CHECK((got.results[r].token > 0 && got.results[r].logprob == -2.5f));
  for (int r : {3, 4}) CHECK(got.results[r].token == 0);
  CHECK(got.results[5].token == -1);
  CHECK_THROWS_AS(run_table(*backend, rows, 1000, 1.5f), Error);
  CHECK_THROWS_AS(run_table(*backend, rows, 1000, kNan), Error);
}
