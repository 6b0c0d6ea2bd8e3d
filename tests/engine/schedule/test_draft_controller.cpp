#include <cmath>
#include <numeric>

#include "engine/schedule/draft_controller.h"
#include "tests/support/catch.h"

using namespace penstock;

namespace {

// A device on which tokens up to `flat` cost no more than one.
struct Device {
  double base, flat, pass;
  double step(int64_t tokens) const { return base * std::max(1.0, static_cast<double>(tokens) / flat); }
};

void learn(DraftController& controller, const Device& device, int64_t rows, int64_t tokens, int64_t passes = 0,
           double idle = 0) {
  for (int i = 0; i < 12; ++i)
    controller.observe({.rows = rows,
                        .tokens = tokens,
                        .drafts = tokens - rows,
                        .draft_rows = passes > 0 ? rows : 0,
                        .draft_passes = passes,
                        .alone = tokens > rows,
                        .seconds = device.step(tokens),
                        .draft_seconds = device.pass * static_cast<double>(passes),
                        .idle_seconds = idle});
}

DraftCandidate candidate(int32_t most, double acceptance, bool by_model = false) {
  DraftCandidate one{.most = most, .by_model = by_model, .survival = {}};
  for (int32_t i = 0; i < most; ++i) one.survival[i] = std::pow(acceptance, i + 1);
  return one;
}

}  // namespace

TEST_CASE("nothing is drafted before a step's cost is known, or where nobody can") {
  DraftController controller(0.1);
  const std::vector<DraftCandidate> sure = {candidate(5, 1)};
  CHECK(controller.choose(1, 100, sure).total == 0);
  CHECK_FALSE(controller.could_gain(1, 100));
  learn(controller, {1, 64, 0.1}, 1, 1);
  CHECK(controller.could_gain(1, 100));
  CHECK(controller.choose(1, 100, sure).drafts == std::vector<int32_t>{5});
  CHECK(controller.choose(1, 3, sure).drafts == std::vector<int32_t>{3});
  CHECK(controller.choose(1, 100, {}).total == 0);
}

TEST_CASE("the number of drafts is the best of E(k) / (T + k t), found by trying all") {
  for (double acceptance : {0.3, 0.6, 0.8, 0.95})
    for (double pass : {0.02, 0.1, 0.3, 0.9}) {
      const Device device{1, 64, pass};
      DraftController controller(0.5);
      learn(controller, device, 1, 1);
      learn(controller, device, 1, 9, 8);
      const DraftChoice choice = controller.choose(1, 100, std::vector{candidate(kMaxDrafts, acceptance, true)});
      int32_t best = 0;
      double rate = 1, expected = 1;
      for (int32_t k = 1; k <= kMaxDrafts; ++k) {
        expected += std::pow(acceptance, k);
        if (expected / (1 + k * pass) > rate) rate = expected / (1 + k * pass), best = k;
      }
      INFO("acceptance " << acceptance << ", pass " << pass);
      CHECK(choice.total == best);
      CHECK(choice.gain == Approx(rate));
    }
}

TEST_CASE("drafts compete: the likelier row gets more of what a step bears") {
  const Device device{1, 8, 0};
  DraftController controller(0);
  for (int64_t tokens : {4, 5, 6, 7, 8, 12, 16, 32}) learn(controller, device, 4, tokens);
  const std::vector<DraftCandidate> rows = {candidate(15, 0.2), candidate(15, 0.9), candidate(15, 0.5)};
  const DraftChoice choice = controller.choose(4, 1000, rows);
  CHECK(choice.total == 4);  // what is free
  CHECK(choice.drafts[1] >= 3);
  CHECK(choice.drafts[0] == 0);
  CHECK(choice.drafts[1] > choice.drafts[2]);
}

TEST_CASE("a full batch is left alone, its tail is not") {
  const Device device{1, 64, 0.05};
  DraftController controller(0.05);
  for (int64_t tokens : {1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024}) learn(controller, device, tokens, tokens);
  for (int64_t rows : {1, 2, 4, 8, 16, 32, 64, 128, 256, 512}) {
    const std::vector<DraftCandidate> candidates(static_cast<size_t>(rows), candidate(15, 0.7, true));
    const DraftChoice choice = controller.choose(rows, 8192, candidates);
    INFO("rows " << rows);
    if (rows <= 16) CHECK(choice.gain > 1.4);
    if (rows >= 128) CHECK(choice.total == 0);
    CHECK(std::accumulate(choice.drafts.begin(), choice.drafts.end(), 0) == choice.total);
  }
  CHECK_FALSE(controller.could_gain(512, 8192));
}

TEST_CASE("a step in which something ran for the first time says nothing of later ones") {
  DraftController controller(0.1);
  const StepRecord step{.rows = 1, .tokens = 1, .warming = true, .seconds = 50};
  controller.observe(step);
  CHECK(controller.plain_seconds(1) == 0);
  learn(controller, {1, 64, 0.1}, 1, 1);
  controller.observe(step);
  CHECK(controller.plain_seconds(1) == 1);
}

TEST_CASE("what waiting for the host costs is counted") {
  const Device device{1, 64, 0};
  DraftController controller(0);
  learn(controller, device, 1, 1);
  learn(controller, device, 1, 3, 0, 0.5);
  CHECK(controller.choose(1, 100, std::vector{candidate(2, 0.3)}).total == 0);
  const DraftChoice loss = controller.choose(1, 100, std::vector{candidate(2, 0.3)}, true);
  CHECK(loss.total > 0);
  CHECK(loss.gain < 1);
  CHECK(controller.choose(1, 100, std::vector{candidate(2, 0.9)}).total == 2);
}

TEST_CASE("a slow step now and then changes nothing, a new cost does") {
  StepCost cost;
  CHECK(cost.seconds(4) == 0);
  for (int i = 0; i < 50; ++i) cost.observe(4, i % 5 == 2 ? 100 : 1);
  CHECK(cost.seconds(4) == 1);
  CHECK(cost.seconds(1) == 1);
  CHECK(cost.seconds(20) == 1);  // it is hoped, where no other size was seen
  CHECK(cost.seconds(24) == 3);
  cost.observe(8, 1.5);
  CHECK(cost.seconds(6) == Approx(1.25));
  CHECK(cost.seconds(24) == Approx(1.5));
  CHECK(cost.seconds(28) == Approx(1.5 + 0.125 * 20));
  for (int i = 0; i < 5; ++i) cost.observe(4, 3);
  CHECK(cost.seconds(4) == 3);
  CHECK(cost.seconds(6) == 3);  // more tokens are never cheaper
  // Sizes beyond 16 share an entry with their next eighth.
  cost.observe(130, 7);
  CHECK(cost.knows(131));
  CHECK_FALSE(cost.knows(150));
}

TEST_CASE("what the draft model has to be fed first is weighed against what is left of the sequence") {
  const Device device{1, 64, 0.1};
  DraftController controller(0.1);
  learn(controller, device, 1, 1);
  learn(controller, device, 1, 5, 4);
  for (int i = 0; i < 3; ++i) controller.observe({.rows = 1, .tokens = 4096, .prefill_tokens = 4096, .seconds = 64});
  DraftCandidate one = candidate(4, 0.8, true);
  one.catch_up = 4096, one.left = 1000;
  CHECK(controller.choose(1, 100, std::vector{one}).total == 4);
  one.left = 5;
  CHECK(controller.choose(1, 100, std::vector{one}).total == 0);
  one.catch_up = 0;
  CHECK(controller.choose(1, 100, std::vector{one}).total == 4);
}

TEST_CASE("a draft model that is as slow as the target cannot gain") {
  DraftController slow(1), fast(0.1);
  for (DraftController* controller : {&slow, &fast}) learn(*controller, {1, 64, 1}, 1, 1);
  CHECK(slow.could_gain(1, 100));
  CHECK_FALSE(slow.could_gain(1, 100, true));
  CHECK(fast.could_gain(1, 100, true));
}
