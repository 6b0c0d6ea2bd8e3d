#include "engine/step/profiling_backend.h"

#include <vector>

#include "tests/support/catch.h"

namespace penstock {
namespace {

constexpr int64_t kValues = 8;

struct Rows {
  std::vector<float> x = std::vector<float>(kValues, 2), out = std::vector<float>(kValues), weight{1, 1, 1, 1};
  RmsNorm norm() { return {{out.data(), DType::f32, 2, 4, 4}, {x.data(), DType::f32, 2, 4, 4}, weight.data(), 0}; }
};

OpTime time_of(const OpMarks& marks, Op op) { return marks.times()[static_cast<size_t>(op)]; }

TEST_CASE("Verbs are handed on, and timed between mark_into and the next") {
  ProfilingBackend backend(make_backend({}));
  Rows rows;
  OpMarks marks;
  backend.rms_norm(rows.norm());
  CHECK(rows.out == std::vector<float>(kValues, 1));
  CHECK(time_of(marks, Op::rms_norm).calls == 0);

  backend.mark_into(&marks);
  for (int i = 0; i < 3; ++i) backend.rms_norm(rows.norm());
  backend.mark_into(nullptr);
  backend.rms_norm(rows.norm());
  CHECK(time_of(marks, Op::rms_norm).calls == 3);
  CHECK(time_of(marks, Op::rms_norm).seconds > 0);
}

TEST_CASE("Every replay's marks take the place of those before") {
  ProfilingBackend backend(make_backend({}));
  Rows rows;
  OpMarks marks;
  backend.mark_into(&marks);
  const auto graph = backend.record([&] {
    for (int i = 0; i < 3; ++i) backend.rms_norm(rows.norm());
  });
  backend.mark_into(nullptr);
  for (int replay = 0; replay < 2; ++replay) {
    backend.mark_into(&marks);
    graph->replay();
    backend.mark_into(nullptr);
    CHECK(time_of(marks, Op::rms_norm).calls == 3);
  }
}

TEST_CASE("Blocks are copied and slots prepared by the backend within") {
  ProfilingBackend backend(make_backend({}));
  OpMarks marks;
  backend.mark_into(&marks);

  std::vector<float> k = {1, 2, 0, 0}, v = {3, 4, 0, 0};
  const std::vector<BlockCopy> copies = {{0, 1}};
  backend.copy_blocks({{k.data(), v.data(), DType::f32, 2, 1, 1, 2}, copies});
  CHECK(k == std::vector<float>{1, 2, 1, 2});
  CHECK(v == std::vector<float>{3, 4, 3, 4});
  CHECK(time_of(marks, Op::copy_blocks).calls == 1);

  std::vector<uint16_t> counts(8);
  std::vector<LogitEdit> edits(kMaxLogitEdits);
  std::vector<int32_t> num_edits(1);
  const std::vector<int32_t> prompt = {3}, generated = {5, 5};
  backend.prepare_slot({{counts.data(), edits.data(), num_edits.data(), 1, 8}, 0, prompt, generated, {}});
  CHECK(counts[3] == SlotState::kInPrompt);
  CHECK(counts[5] == 2);
  CHECK(time_of(marks, Op::prepare_slot).calls == 1);
}

TEST_CASE("Products are counted by the name of their weight, and one without a name is a bug") {
  ProfilingBackend backend(make_backend({}));
  const std::vector<float> values(kValues, 1);
  Weight named = backend.allocate_weight(2, 4, DType::f32), other = backend.allocate_weight(2, 4, DType::f32);
  for (Weight* weight : {&named, &other}) backend.store_weight(*weight, 0, {values.data(), DType::f32, 2, 4, 4});
  backend.name(named, Op::down);
  std::vector<float> x(4, 1), out(2);
  const Tensor in{x.data(), DType::f32, 1, 4, 4}, to{out.data(), DType::f32, 1, 2, 2};
  OpMarks marks;
  backend.mark_into(&marks);
  backend.matmul({to, in, named});
  CHECK(out == std::vector<float>{4, 4});
  CHECK(time_of(marks, Op::down).calls == 1);
  CHECK_THROWS_WITH(backend.matmul({to, in, other}), ContainsSubstring("no name"));
  backend.mark_into(nullptr);
  backend.matmul({to, in, other});  // untimed, it needs none
}

}  // namespace
}  // namespace penstock
