#include "engine/step/slot_buffers.h"

#include <algorithm>

#include "tests/support/catch.h"

namespace penstock {
namespace {

std::vector<int32_t> values(const int32_t* data, int64_t count) { return {data, data + count}; }

TEST_CASE("Slots begin without tokens, drafts, counts and edits") {
  auto backend = make_backend({.poison_memory = true});
  const SlotBuffers slots(3, 50, *backend);
  CHECK(slots.drafts() == slots.last_tokens() + 3);
  CHECK(values(slots.last_tokens(), 3 + 3 * kMaxDrafts) == std::vector<int32_t>(3 + 3 * kMaxDrafts));
  const SlotState state = slots.state();
  CHECK(state.slots == 3);
  CHECK(state.vocab == 50);
  CHECK(std::all_of(state.counts, state.counts + 150, [](uint16_t count) { return count == 0; }));
  CHECK(values(state.num_edits, 3) == std::vector<int32_t>{0, 0, 0});
  CHECK(SlotBuffers::bytes(3, 50) == 3 * (4 + kMaxDrafts * 4 + 50 * 2 + kMaxLogitEdits * 12 + 4));
}

TEST_CASE("What the host knows of slots is told to them") {
  auto backend = make_backend({.poison_memory = true});
  SlotBuffers slots(3, 50, *backend, 2);
  const auto drafts = [&](int32_t slot, int64_t count) { return values(slots.drafts() + slot * kMaxDrafts, count); };
  StepPlan plan;
  plan.setups = {{.slot = 1, .prompt = {7}, .generated = {8, 8}, .edits = {{.id = 9, .bias = 1}}}};
  plan.known_drafts = {{.slot = 2, .ids = {4, 5, 6}}, {.slot = 0, .ids = {1}}};
  slots.prepare(plan, *backend);
  CHECK(drafts(0, 1) == std::vector<int32_t>{1});
  CHECK(drafts(2, 3) == std::vector<int32_t>{4, 5, 6});
  CHECK(slots.state().counts[50 + 7] == SlotState::kInPrompt);
  CHECK(slots.state().counts[50 + 8] == 2);
  CHECK(slots.state().num_edits[1] == 1);
  for (int32_t i = 0; i < 4; ++i) {  // the copies' memory comes round
    const std::vector<int32_t> ids(kMaxDrafts, 10 + i);
    plan = {};
    plan.known_drafts = {{.slot = i % 3, .ids = ids}};
    slots.prepare(plan, *backend);
    CHECK(drafts(i % 3, kMaxDrafts) == ids);
  }
}

TEST_CASE("Drafts that no slot can hold are a bug, not an overrun") {
  auto backend = make_backend({});
  SlotBuffers slots(3, 50, *backend);
  for (const KnownDrafts& drafts :
       {KnownDrafts{3, {1}}, KnownDrafts{-1, {1}}, KnownDrafts{0, std::vector<int32_t>(kMaxDrafts + 1)}}) {
    StepPlan plan;
    plan.known_drafts = {drafts};
    CHECK_THROWS_WITH(slots.prepare(plan, *backend), ContainsSubstring("drafts"));
  }
}

}  // namespace
}  // namespace penstock
