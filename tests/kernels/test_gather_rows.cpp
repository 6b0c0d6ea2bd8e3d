#include "tests/kernels/op_fixture.h"

using namespace penstock;

TEST_CASE("gather_rows copies the rows asked for, bit for bit", "[sanitize]") {
  auto backend = test_backend();
  for (int64_t width : {1, 17, 576, 2049})
    for (int64_t tokens : {1, 3, 127}) {
      const int64_t hidden = width_for(*backend, width);
      auto x = rounded(*backend, normal_values(tokens * hidden, 1));
      x[0] = kNan;
      std::mt19937 random(2);
      std::vector<int32_t> indices(tokens + 5);
      for (int32_t& index : indices) index = static_cast<int32_t>(random() % tokens);
      std::vector<float> want;
      for (int32_t index : indices) want.insert(want.end(), &x[index * hidden], &x[index * hidden] + hidden);
      DeviceNumbers input(*backend, x), output(*backend, want.size());
      DeviceArray<int32_t> device_indices(*backend, indices);
      int64_t rows = static_cast<int64_t>(indices.size());
      backend->gather_rows(
          {.out = output.matrix(rows, hidden), .x = input.matrix(tokens, hidden), .indices = device_indices.data()});
      CHECK(bit_difference(output.download(), want) == "");
    }
}
