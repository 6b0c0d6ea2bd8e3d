// A million draws for each parameter of sampling, against the probabilities that a slow model gives in double: once as
// they should be (Pearson's chi-square passes), and once with the parameter slightly off (it fails), which shows how
// little escapes. All keys are fixed, so a case passes always or never.
#include <algorithm>
#include <numeric>

#include "tests/kernels/head_fixture.h"

using namespace penstock;

namespace {

struct Settings {
  HeadRow row;
  std::vector<LogitEdit> edits;
};

const std::vector<int32_t> kPrompt = {0, 2, 4, 4, 30, 31}, kGenerated = {1, 2, 2, 2, 5, 30};

std::vector<double> edited(const std::vector<float>& logits, const Settings& settings) {
  const HeadRow& row = settings.row;
  std::vector<double> x(logits.begin(), logits.end());
  for (size_t id = 0; row.edits && id < x.size(); ++id) {
    auto times = std::ranges::count(kGenerated, static_cast<int32_t>(id));
    bool seen = times > 0 || std::ranges::count(kPrompt, static_cast<int32_t>(id)) > 0;
    if (seen) x[id] = x[id] > 0 ? x[id] / row.repetition_penalty : x[id] * row.repetition_penalty;
    x[id] -= static_cast<double>(row.frequency_penalty) * static_cast<double>(times);
    if (times > 0) x[id] -= row.presence_penalty;
  }
  if (row.edits)
    for (const LogitEdit& edit : settings.edits) x[edit.id] += edit.bias;
  return x;
}

std::vector<double> probabilities(const std::vector<float>& logits, const Settings& settings) {
  const HeadRow& row = settings.row;
  std::vector<double> x = edited(logits, settings), p(x.size());
  std::vector<size_t> order(x.size());
  std::iota(order.begin(), order.end(), 0);
  std::ranges::stable_sort(order, [&](size_t a, size_t b) { return x[a] > x[b]; });
  if (row.top_k > 0 && row.top_k < static_cast<int32_t>(order.size())) order.resize(row.top_k);
  auto mass = [&](size_t id) { return std::exp((x[id] - x[order[0]]) / row.temperature); };
  double total = 0, before = 0;
  for (size_t id : order) total += mass(id);
  size_t kept = 0;
  while (kept < order.size() && (kept == 0 || row.top_p >= 1 || before < row.top_p * total))
    before += mass(order[kept++]);
  order.resize(kept);
  std::erase_if(order, [&](size_t id) { return mass(id) < row.min_p; });
  total = 0;
  for (size_t id : order) total += mass(id);
  for (size_t id : order) p[id] = mass(id) / total;
  return p;
}

// The chance that a gamma variable of this shape is above x: a series below the mean, a continued fraction above.
double gamma_tail(double shape, double x) {
  double front = std::exp(shape * std::log(x) - x - std::lgamma(shape));
  if (x < shape + 1) {
    double term = 1 / shape, sum = term;
    for (int n = 1; term > 1e-17 * sum; ++n) sum += term *= x / (shape + n);
    return 1 - front * sum;
  }
  double fraction = 0;
  for (int n = 500; n > 0; --n) fraction = n * (n - shape) / (x + 2 * n + 1 - shape - fraction);
  return front / (x + 1 - shape - fraction);
}

// How likely draws from `want` lie at least this far off. Rare ids share a cell; an impossible one decides at once.
double p_value(const std::vector<int64_t>& counts, const std::vector<double>& want) {
  const double draws = static_cast<double>(std::accumulate(counts.begin(), counts.end(), int64_t{0}));
  double chi_square = 0, rare_expected = 0, rare_count = 0;
  int cells = 0;
  auto add = [&](double count, double expected) {
    chi_square += (count - expected) * (count - expected) / expected;
    cells++;
  };
  for (size_t id = 0; id < want.size(); ++id) {
    double count = static_cast<double>(counts[id]), expected = want[id] * draws;
    if (expected == 0 && count > 0) return 0;
    if (expected >= 5)
      add(count, expected);
    else
      rare_count += count, rare_expected += expected;
  }
  if (rare_expected >= 5) add(rare_count, rare_expected);
  return cells < 2 ? 1 : gamma_tail(0.5 * (cells - 1), 0.5 * chi_square);
}

// How often each id was drawn. Every row has a slot of its own, prepared afresh for every batch, as drawing counts.
std::vector<int64_t> draw(const std::vector<float>& logits, const Settings& settings) {
  constexpr int32_t kDraws = 1000000, kBatch = 2000;
  auto backend = test_backend();
  const auto vocab = static_cast<int64_t>(logits.size());
  std::vector<float> batch;
  std::vector<HeadRow> rows(kBatch, settings.row);
  DeviceSlots slots(*backend, kBatch, vocab);
  for (int32_t i = 0; i < kBatch; ++i) {
    batch.insert(batch.end(), logits.begin(), logits.end());
    rows[i].slot = i, rows[i].position = i % 100, rows[i].choice = i / 100;
    slots.prepare(i, kPrompt, kGenerated, settings.edits);
  }
  const std::vector<uint16_t> fresh = slots.counts();
  DeviceArray<float> device_logits(*backend, batch);
  DeviceArray<HeadRow> device_rows(*backend, rows);
  DeviceArray<HeadResult> results(*backend, kBatch);
  DeviceArray<int32_t> last_tokens(*backend, kBatch);
  std::vector<int64_t> counts(vocab);
  for (int32_t first = 0; first < kDraws; first += kBatch) {
    for (HeadRow& row : rows) row.seed = 1234567 + first;
    backend->upload(device_rows.data(), rows.data(), kBatch * sizeof(HeadRow));
    backend->upload(slots.view().counts, fresh.data(), static_cast<int64_t>(fresh.size() * sizeof(uint16_t)));
    backend->sample({.logits = device_logits.matrix(kBatch, vocab),
                     .rows = device_rows.data(),
                     .results = results.data(),
                     .last_tokens = last_tokens.data(),
                     .slots = slots.view()});
    for (const HeadResult& result : results.download()) counts.at(result.token)++;
  }
  return counts;
}

void check(const char* name, const std::vector<float>& logits, const Settings& settings,
           const std::vector<Settings>& slightly_off) {
  INFO(name);
  auto counts = draw(logits, settings);
  CHECK(p_value(counts, probabilities(logits, settings)) > 1e-6);
  for (size_t i = 0; i < slightly_off.size(); ++i) {
    INFO("slightly off " << i);
    CHECK(p_value(counts, probabilities(logits, slightly_off[i])) < 1e-6);
  }
}

void check(const char* name, int64_t vocab, const Settings& settings, const std::vector<Settings>& slightly_off) {
  check(name, normal_values(vocab, 77, 1.5f), settings, slightly_off);
}

HeadRow with_edits(HeadRow row) {
  row.edits = 1;
  return row;
}

}  // namespace

TEST_CASE("the test's chi-square tail is that of the tables", "[cpu]") {
  CHECK(std::abs(gamma_tail(0.5, 0.5 * 3.841459) - 0.05) < 1e-6);    // 1 degree of freedom
  CHECK(std::abs(gamma_tail(5, 0.5 * 18.307038) - 0.05) < 1e-6);     // 10
  CHECK(std::abs(gamma_tail(50, 0.5 * 77.929465) - 0.95) < 1e-6);    // 100
  CHECK(std::abs(gamma_tail(50, 0.5 * 149.449253) - 0.001) < 1e-7);  // 100
}

TEST_CASE("a million draws: temperature") {
  check("0.8", 60, {{.temperature = 0.8f}, {}}, {{{.temperature = 0.81f}, {}}, {{.temperature = 0.79f}, {}}});
  check("1.5", 130, {{.temperature = 1.5f}, {}}, {{{.temperature = 1.52f}, {}}});
}

TEST_CASE("a million draws: the filters") {
  check("top_k", 100, {{.temperature = 1, .top_k = 20}, {}},
        {{{.temperature = 1, .top_k = 19}, {}}, {{.temperature = 1, .top_k = 21}, {}}});
  check("top_p", 100, {{.temperature = 1, .top_p = 0.8f}, {}},
        {{{.temperature = 1, .top_p = 0.77f}, {}}, {{.temperature = 1, .top_p = 0.83f}, {}}});
  check("min_p", 100, {{.temperature = 1, .min_p = 0.1f}, {}},
        {{{.temperature = 1, .min_p = 0.08f}, {}}, {{.temperature = 1, .min_p = 0.12f}, {}}});
}

TEST_CASE("a million draws: penalties and edits") {
  HeadRow repetition = with_edits({.temperature = 1, .repetition_penalty = 1.3f}), other = repetition;
  other.repetition_penalty = 1.36f;
  check("repetition_penalty", 50, {repetition, {}}, {{other, {}}});

  HeadRow frequency = with_edits({.temperature = 1, .frequency_penalty = 0.3f});
  other = frequency, other.frequency_penalty = 0.33f;
  check("frequency_penalty", 50, {frequency, {}}, {{other, {}}});

  HeadRow presence = with_edits({.temperature = 1, .presence_penalty = -0.4f});
  other = presence, other.presence_penalty = -0.44f;
  check("presence_penalty", 50, {presence, {}}, {{other, {}}});

  HeadRow plain = with_edits({.temperature = 1});
  std::vector<LogitEdit> edits = {{3, 1.5f}, {7, -kInfinity}, {40, 2}, {49, -1}}, off = edits, unbanned = edits;
  off[2].bias = 2.03f, unbanned[1].bias = -4.5f;
  check("logit_bias", 50, {plain, edits}, {{plain, off}, {plain, unbanned}});
}

TEST_CASE("a million draws: all together, in the order of step_view.h") {
  HeadRow filters{.temperature = 0.9f, .top_p = 0.9f, .min_p = 0.02f, .top_k = 40};
  HeadRow warmer = filters;
  warmer.temperature = 0.92f;
  check("filters", 300, {filters, {}}, {{warmer, {}}});

  HeadRow all = with_edits(filters);
  all.repetition_penalty = 1.2f, all.frequency_penalty = 0.25f, all.presence_penalty = 0.35f;
  std::vector<LogitEdit> edits = {{2, 1.5f}, {7, -kInfinity}, {30, 2}, {99, 3}};
  HeadRow off = all;
  off.presence_penalty = 0.45f;
  check("all", 100, {all, edits}, {{off, edits}, {all, {{2, 1.5f}, {30, 2}, {99, 3.05f}}}});
}

TEST_CASE("a million draws: peaked, flat, tied, banned and single ids, and sums that round below p") {
  std::vector<float> peaked = normal_values(64, 5), flat(64, 0.25f), ties = normal_values(64, 6, 2), holes = ties;
  peaked[40] = 9;
  for (float& x : ties) x = std::round(x);
  for (size_t id = 0; id < holes.size(); id += 3) holes[id] = -kInfinity;
  check("peaked", peaked, {{.temperature = 1}, {}}, {{{.temperature = 1.01f}, {}}});
  check("ties", ties, {{.temperature = 0.7f, .top_k = 9}, {}}, {{{.temperature = 0.7f, .top_k = 8}, {}}});
  check("banned", holes, {{.temperature = 1, .top_p = 0.9f}, {}}, {{{.temperature = 1, .top_p = 0.93f}, {}}});
  std::vector<float> one_hot(64, -kInfinity);
  one_hot[63] = -80;
  check("one", one_hot, {{.temperature = 1.5f, .top_p = 0.5f, .min_p = 0.5f}, {}}, {});
  // Half of them exactly; then all of them, though in f32 the sum of all may never reach p.
  check("half", flat, {{.temperature = 1, .top_p = 0.5f}, {}}, {{{.temperature = 1, .top_p = 0.51f}, {}}});
  check("nearly all", flat, {{.temperature = 1, .top_p = 0x1.fffffep-1f}, {}},
        {{{.temperature = 1, .top_p = 0.98f}, {}}});
  std::vector<float> tail(64, -26.0f);  // 3e-10 each beside the two that count
  tail[3] = 0, tail[50] = -1;
  check("a tail", tail, {{.temperature = 1, .top_p = 0.999999f}, {}}, {{{.temperature = 1, .top_p = 0.7f}, {}}});
}

// Every id's share of a million draws from a vocabulary of Llama 3's size; the batch is one of the rows' own.
TEST_CASE("a million draws on a GPU from 128,256 ids", "[.cuda]") {
  auto backend = cuda_backend();
  constexpr int32_t kRows = 512, kSteps = 1954;
  constexpr int64_t kVocab = 128256;
  for (float deviation : {0.0f, 0.5f, 3.0f})
    for (float top_p : {1.0f, 0.95f}) {
      INFO("deviation " << deviation << ", top_p " << top_p);
      const std::vector<float> logits = normal_values(kVocab, 9, deviation);
      DeviceArray<float> device_logits(*backend, kRows * kVocab);
      for (int64_t r = 0; r < kRows; ++r)
        backend->upload(device_logits.data() + r * kVocab, logits.data(), kVocab * static_cast<int64_t>(sizeof(float)));
      std::vector<HeadRow> rows(kRows, HeadRow{.temperature = 1, .top_p = top_p});
      DeviceArray<HeadRow> device_rows(*backend, rows);
      DeviceArray<HeadResult> results(*backend, kRows);
      DeviceArray<int32_t> last_tokens(*backend, kRows);
      std::vector<int64_t> counts(kVocab);
      for (int32_t step = 0; step < kSteps; ++step) {
        for (int32_t r = 0; r < kRows; ++r) rows[r].slot = r, rows[r].position = step, rows[r].seed = 1000 + r;
        device_rows.upload(rows);
        backend->sample({.logits = device_logits.matrix(kRows, kVocab),
                         .rows = device_rows.data(),
                         .results = results.data(),
                         .last_tokens = last_tokens.data(),
                         .slots = {}});
        for (const HeadResult& result : results.download()) counts.at(result.token)++;
      }
      std::vector<double> want = probabilities(logits, {rows[0], {}});
      CHECK(p_value(counts, want) > 1e-6);
      std::ranges::rotate(want, want.begin() + 1);  // and the test can tell
      CHECK((deviation == 0 || p_value(counts, want) < 1e-6));
    }
}
