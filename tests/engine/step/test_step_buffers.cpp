#include <algorithm>

#include "engine/step/step_buffers.h"
#include "tests/support/catch.h"

namespace penstock {
namespace {

constexpr StepCapacity kCapacity = {.tokens = 8, .head_rows = 6, .rows = 3, .table_entries = 7};

std::vector<int32_t> values(const int32_t* data, int64_t count) { return {data, data + count}; }

// A prefill chunk at positions 2 to 4 and a decoding row at position 9.
StepPlan two_rows() {
  StepPlan plan;
  plan.rows = {{.slot = 2, .first_token = 0, .num_tokens = 3, .first_position = 2, .first_block = 0, .num_blocks = 2},
               {.slot = 0,
                .first_token = 3,
                .num_tokens = 1,
                .first_position = 9,
                .first_block = 2,
                .num_blocks = 3,
                .rope_begin = 100}};
  plan.input_ids = {10, 11, 12, input_from_slot(0)};
  plan.block_tables = {5, 6, 1, 2, 3};
  plan.head = {{.slot = 0, .temperature = 0.5f, .position = 10, .seed = 77}};
  plan.head_tokens = {3};
  plan.verify = {{.slot = 0, .first = 0, .drafts = 4, .edits = 1}};
  return plan;
}

TEST_CASE("A plan becomes a view, padded to its bucket") {
  auto backend = make_backend({.poison_memory = true});
  StepBuffers buffers(kCapacity, *backend);
  buffers.upload(two_rows(), 6, 2, *backend);
  const StepView view = buffers.view(6);
  CHECK(view.tokens == 6);
  CHECK(view.rows == 3);
  CHECK(values(view.input_ids, 6) == std::vector<int32_t>{10, 11, 12, ~0, 0, 0});
  CHECK(values(view.positions, 6) == std::vector<int32_t>{2, 3, 4, 9, -1, -1});
  CHECK(values(view.token_rows, 6) == std::vector<int32_t>{0, 0, 0, 1, 0, 0});
  CHECK(values(view.row_begin, 4) == std::vector<int32_t>{0, 3, 4, 4});
  CHECK(values(view.row_context, 3) == std::vector<int32_t>{5, 10, 0});
  CHECK(values(view.row_rope, 3) == std::vector<int32_t>{0, 100, 0});
  CHECK(values(view.row_table, 3) == std::vector<int32_t>{0, 2, 0});
  CHECK(values(view.block_tables, 5) == std::vector<int32_t>{5, 6, 1, 2, 3});
  CHECK(values(buffers.head_tokens(), 2) == std::vector<int32_t>{3, 0});
  CHECK(buffers.head_rows()[0].slot == 0);
  CHECK(buffers.head_rows()[0].temperature == 0.5f);
  CHECK(buffers.head_rows()[0].position == 10);
  CHECK(buffers.head_rows()[0].seed == 77);
  CHECK(buffers.head_rows()[1].slot == -1);
  CHECK(buffers.verify_rows()[0].slot == 0);
  CHECK(buffers.verify_rows()[0].drafts == 4);
  CHECK(buffers.verify_rows()[0].edits == 1);
  CHECK(buffers.head_rows()[1].target == -1);
}

TEST_CASE("A smaller step leaves nothing of the larger one before it, and moves nothing") {
  auto backend = make_backend({.poison_memory = true});
  StepBuffers buffers(kCapacity, *backend);
  buffers.upload(two_rows(), 8, 6, *backend);
  const StepView before = buffers.view(8);
  StepPlan plan;
  plan.rows = {{.slot = 1, .first_token = 0, .num_tokens = 1, .first_position = 0, .first_block = 0, .num_blocks = 1}};
  plan.input_ids = {42};
  plan.block_tables = {4};
  buffers.upload(plan, 4, 1, *backend);
  const StepView view = buffers.view(4);
  CHECK(view.input_ids == before.input_ids);
  CHECK(view.block_tables == before.block_tables);
  CHECK(values(view.input_ids, 4) == std::vector<int32_t>{42, 0, 0, 0});
  CHECK(values(view.positions, 4) == std::vector<int32_t>{0, -1, -1, -1});
  CHECK(values(view.token_rows, 4) == std::vector<int32_t>{0, 0, 0, 0});
  CHECK(values(view.row_begin, 4) == std::vector<int32_t>{0, 1, 1, 1});
  CHECK(values(view.row_context, 3) == std::vector<int32_t>{1, 0, 0});
  CHECK(buffers.head_rows()[0].slot == -1);
}

TEST_CASE("The arrays do not overlap and the sum of their bytes is announced") {
  auto backend = make_backend({});
  StepBuffers buffers(kCapacity, *backend);
  const StepView view = buffers.view(8);
  std::vector<std::pair<const void*, int64_t>> arrays = {{buffers.head_rows(), kCapacity.head_rows * 64},
                                                         {view.input_ids, 32},
                                                         {view.positions, 32},
                                                         {view.token_rows, 32},
                                                         {view.row_begin, 16},
                                                         {view.row_context, 12},
                                                         {view.row_rope, 12},
                                                         {view.row_table, 12},
                                                         {view.block_tables, 28},
                                                         {buffers.verify_rows(), 48},
                                                         {buffers.head_tokens(), 24}};
  std::sort(arrays.begin(), arrays.end());
  for (size_t i = 0; i < arrays.size(); ++i) {
    CHECK(reinterpret_cast<uintptr_t>(arrays[i].first) % 128 == 0);
    if (i > 0) CHECK(static_cast<const char*>(arrays[i - 1].first) + arrays[i - 1].second <= arrays[i].first);
  }
  const auto span = static_cast<const char*>(arrays.back().first) - static_cast<const char*>(arrays.front().first);
  const int64_t results = kCapacity.head_rows * (12 + kMaxTopLogprobs * 8);
  CHECK(StepBuffers::bytes(kCapacity) >= span + 12 + results);
}

TEST_CASE("A plan without block tables goes by those before it") {
  auto backend = make_backend({.poison_memory = true});
  StepBuffers buffers(kCapacity, *backend, 1, 2);
  buffers.upload(two_rows(), 4, 1, *backend);
  for (int32_t i = 0; i < 3; ++i) {
    StepPlan plan = two_rows();
    plan.block_tables.clear();
    plan.input_ids[0] = 20 + i;
    buffers.upload(plan, 4, 1, *backend);
    CHECK(values(buffers.view(4).block_tables, 5) == std::vector<int32_t>{5, 6, 1, 2, 3});
    CHECK(buffers.view(4).input_ids[0] == 20 + i);
  }
}

TEST_CASE("Block tables that outgrow their buffer are a bug, not an overrun") {
  auto backend = make_backend({});
  StepBuffers buffers(kCapacity, *backend);
  StepPlan plan = two_rows();
  plan.block_tables.resize(8);
  CHECK_THROWS_WITH(buffers.upload(plan, 4, 1, *backend), ContainsSubstring("outgrow"));
}

}  // namespace
}  // namespace penstock
