#include "engine/step/draft_passes.h"

#include "tests/support/catch.h"

namespace penstock {
namespace {

// Slots 3 and 1 with blocks of 4: the first wants one draft after a prompt of 6 ids, the second three after one id, and
// a third row, of slot 0, is only fed.
StepPlan three_rows() {
  StepPlan plan;
  plan.rows = {{.slot = 3, .num_tokens = 2, .first_position = 5, .first_block = 0, .num_blocks = 3},
               {.slot = 1, .num_tokens = 4, .first_position = 7, .first_block = 3, .num_blocks = 3},
               {.slot = 0, .num_tokens = 1, .first_position = 9, .first_block = 6, .num_blocks = 3}};
  plan.block_tables = {10, 11, 12, 20, 21, 22, 30, 31, 32};
  plan.draft_ids = {40, 41, 42, 43, 44, 45, 50, 60, 61};
  plan.drafts = {{.row = 0,
                  .first_id = 0,
                  .num_ids = 6,
                  .first_position = 0,
                  .num_drafts = 1,
                  .head = {.slot = 3, .position = 6, .seed = 5}},
                 {.row = 2, .first_id = 7, .num_ids = 2, .first_position = 2, .num_drafts = 0, .head = {}},
                 {.row = 1,
                  .first_id = 6,
                  .num_ids = 1,
                  .first_position = 7,
                  .num_drafts = 3,
                  .head = {.slot = 1, .temperature = 0.5f, .position = 8, .seed = 6, .top_logprobs = 4, .edits = 1}}};
  return plan;
}

TEST_CASE("Rows that want most drafts come first, and only the first pass has block tables") {
  const std::vector<StepPlan> passes = draft_passes(three_rows(), 8, 45, 4);
  REQUIRE(passes.size() == 3);
  const StepPlan& first = passes[0];
  REQUIRE(first.rows.size() == 3);
  CHECK(first.rows[0].slot == 1);
  CHECK(first.rows[1].slot == 3);
  CHECK(first.rows[2].slot == 0);
  CHECK(first.block_tables == std::vector<int32_t>{20, 21, 22, 10, 11, 30});  // for positions 9, 5 and 3
  CHECK(first.rows[1].first_token == 1);
  CHECK(first.rows[1].num_tokens == 6);
  CHECK(first.rows[1].first_block == 3);
  CHECK(first.rows[2].first_position == 2);
  CHECK(first.head_tokens == std::vector<int32_t>{0, 6});
  for (int32_t i : {1, 2}) {
    const StepPlan& pass = passes[i];
    REQUIRE(pass.rows.size() == 1);
    CHECK(pass.block_tables.empty());
    CHECK(pass.rows[0].slot == 1);
    CHECK(pass.rows[0].first_block == 0);
    CHECK(pass.rows[0].first_position == 7 + i);
    CHECK(pass.input_ids == std::vector<int32_t>{input_from_draft(1, i - 1, 8)});
    CHECK(pass.head_tokens == std::vector<int32_t>{0});
  }
}

TEST_CASE("A draft is drawn as its sequence's token would be") {
  const std::vector<StepPlan> passes = draft_passes(three_rows(), 8, 45, 4);
  REQUIRE(passes.size() == 3);
  for (int32_t i = 0; i < 3; ++i) {
    const HeadRow& want = passes[i].head[0];
    CHECK(want.draw == DrawKind::draft);
    CHECK(want.slot == 1);
    CHECK(want.position == 8 + i);
    CHECK(want.drafted == i);
    CHECK(want.seed == 6);
    CHECK(want.temperature == 0.5f);
    CHECK(want.edits == 1);
    CHECK(want.top_logprobs == 0);  // nobody reads them
  }
}

TEST_CASE("Ids that the draft model lacks are in no part of its table") {
  const std::vector<int32_t> ids = draft_passes(three_rows(), 8, 45, 4)[0].input_ids;
  CHECK(ids == std::vector<int32_t>{INT32_MAX, 40, 41, 42, 43, 44, INT32_MAX, INT32_MAX, INT32_MAX});
}

TEST_CASE("Drafts beyond a sequence's blocks are a bug, not an overrun") {
  StepPlan plan = three_rows();
  plan.drafts[2].num_drafts = 6;  // the fifth is fed at position 12
  CHECK_THROWS_WITH(draft_passes(plan, 8, 100, 4), ContainsSubstring("beyond its sequence's blocks"));
}

TEST_CASE("A step without drafts has no passes") { CHECK(draft_passes({}, 8, 100, 4).empty()); }

}  // namespace
}  // namespace penstock
