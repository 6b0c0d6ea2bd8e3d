#include "tests/kernels/op_fixture.h"

using namespace penstock;

TEST_CASE("soft_cap is cap tanh(x / cap), relatively exact, whatever the size of x") {
  auto backend = test_backend();
  for (float cap : {0.5f, 30.0f, 50.0f})
    for (float deviation : {1e-8f, 1e-2f, 0.3f, 1.0f, 100.0f})
      for (int64_t cols : {1, 15, 17, 64, 1003}) {
        INFO("cap " << cap << ", deviation " << deviation << ", cols " << cols);
        constexpr int64_t kRows = 3;
        auto values = normal_values(kRows * cols, 1, deviation * cap);
        DeviceArray<float> x(*backend, values);
        backend->soft_cap({.x = x.matrix(kRows, cols), .cap = cap});
        std::vector<Expected> want(values.size());
        for (size_t i = 0; i < values.size(); ++i)
          want[i].add(static_cast<double>(cap) * std::tanh(static_cast<double>(values[i]) / cap));
        CHECK(difference(x.download(), want, 1e-6) == "");
      }
}

TEST_CASE("soft_cap around the border of its two formulas, and at the ends") {
  auto backend = test_backend();
  std::vector<float> values;
  for (float x = -0.26f; x < 0.26f; x += 1e-5f)
    if (std::abs(x) > 0.24f) values.push_back(x);
  std::vector<Expected> want(values.size());
  for (size_t i = 0; i < values.size(); ++i) want[i].add(std::tanh(static_cast<double>(values[i])));
  DeviceArray<float> x(*backend, values);
  backend->soft_cap({.x = x.matrix(1, static_cast<int64_t>(values.size())), .cap = 1});
  CHECK(difference(x.download(), want, 1e-6) == "");

  DeviceArray<float> ends(*backend, {kInfinity, -kInfinity, 3e38f, -3e38f, 0.0f, 1e-38f, kNan});
  backend->soft_cap({.x = ends.matrix(1, 7), .cap = 30});
  auto got = ends.download();
  for (size_t i = 0; i < 5; ++i) CHECK(got[i] == std::vector<float>{30, -30, 30, -30, 0}[i]);
  CHECK(std::abs(got[5] - 1e-38f) <= 1e-43f);
  CHECK(std::isnan(got[6]));
  CHECK_THROWS_AS(backend->soft_cap({.x = ends.matrix(1, 7), .cap = 0}), Error);
}

TEST_CASE("soft_cap leaves what lies between its rows alone", "[sanitize]") {
  auto backend = test_backend();
  DeviceArray<float> x(*backend, std::vector<float>(4 * 10, 2.0f));
  backend->soft_cap({.x = x.matrix(4, 10).columns(3, 5), .cap = 1});
  auto got = x.download();
  for (int i = 0; i < 40; ++i) CHECK((got[i] == 2.0f) == (i % 10 < 3 || i % 10 >= 8));
}
