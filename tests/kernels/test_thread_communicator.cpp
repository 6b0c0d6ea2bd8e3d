#include <chrono>
#include <functional>
#include <thread>
#include <vector>

#include "kernels/communicator.h"
#include "tests/support/catch.h"
#include "tests/support/compare.h"

using namespace penstock;

namespace {

// Runs `body` once a rank, each in its own thread; what a rank throws is its exit code.
std::vector<ExitCode> on_ranks(int size, const std::function<void(Communicator&)>& body) {
  auto ranks = make_thread_communicators(size);
  std::vector<ExitCode> codes(size, ExitCode::ok);
  std::vector<std::thread> threads;
  for (int rank = 0; rank < size; ++rank)
    threads.emplace_back([&, rank] {
      try {
        body(*ranks[rank]);
      } catch (const Error& error) {
        codes[rank] = error.code();
      }
    });
  for (std::thread& thread : threads) thread.join();
  return codes;
}

std::vector<ExitCode> all(int size, ExitCode code) { return std::vector<ExitCode>(size, code); }

// Sums of these depend on their order.
float element(int rank, int64_t row, int64_t col) {
  return static_cast<float>((rank + 1) * 0.1 + row * 7.3 - col * 1.7 * rank);
}

}  // namespace

TEST_CASE("all_reduce_sum sums in rank order, the same bits on every rank", "[cpu]") {
  for (int size : {1, 2, 3, 8})
    for (int64_t cols : {1, 40, 576}) {
      const int64_t rows = 3, stride = cols + 2;
      std::vector<float> expected(rows * stride, -1);
      for (int64_t row = 0; row < rows; ++row)
        for (int64_t col = 0; col < cols; ++col) {
          float sum = element(0, row, col);
          for (int rank = 1; rank < size; ++rank) sum += element(rank, row, col);
          expected[row * stride + col] = sum;
        }
      std::vector<std::string> differences(size);
      auto codes = on_ranks(size, [&](Communicator& communicator) {
        std::vector<float> x(rows * stride, -1);
        for (int round = 0; round < 50; ++round) {
          for (int64_t row = 0; row < rows; ++row)
            for (int64_t col = 0; col < cols; ++col) x[row * stride + col] = element(communicator.rank(), row, col);
          communicator.all_reduce_sum({x.data(), DType::f32, rows, cols, stride});
          differences[communicator.rank()] += bit_difference(x, expected);
        }
      });
      REQUIRE(codes == all(size, ExitCode::ok));
      REQUIRE(differences == std::vector<std::string>(size));
    }
}

TEST_CASE("all_gather_columns puts the ranks' columns side by side", "[cpu]") {
  const int size = 3;
  const int64_t rows = 4, cols = 5;
  std::vector<int> wrong(size);
  auto codes = on_ranks(size, [&](Communicator& communicator) {
    std::vector<float> part(rows * cols), out(rows * cols * size);
    for (int64_t i = 0; i < rows * cols; ++i) part[i] = element(communicator.rank(), i / cols, i % cols);
    communicator.all_gather_columns({out.data(), DType::f32, rows, size * cols, size * cols},
                                    {part.data(), DType::f32, rows, cols, cols});
    for (int64_t row = 0; row < rows; ++row)
      for (int64_t col = 0; col < size * cols; ++col)
        if (out[row * size * cols + col] != element(static_cast<int>(col / cols), row, col % cols))
          ++wrong[communicator.rank()];
  });
  REQUIRE(codes == all(size, ExitCode::ok));
  REQUIRE(wrong == std::vector<int>(size));
}

TEST_CASE("abort wakes the ranks that wait and stops those that come later", "[cpu]") {
  for (auto delay : {std::chrono::milliseconds(0), std::chrono::milliseconds(20)}) {
    auto codes = on_ranks(3, [&](Communicator& communicator) {
      float value = 1;
      Tensor x{&value, DType::f32, 1, 1, 1};
      communicator.all_reduce_sum(x);
      if (communicator.rank() == 0) {
        std::this_thread::sleep_for(delay);  // long enough for the others to park
        communicator.abort();
      }
      communicator.all_reduce_sum(x);
    });
    REQUIRE(codes == all(3, ExitCode::internal));
  }
}

TEST_CASE("ranks whose shapes disagree all fail", "[cpu]") {
  auto codes = on_ranks(2, [](Communicator& communicator) {
    std::vector<float> x(8);
    communicator.all_reduce_sum({x.data(), DType::f32, 1, communicator.rank() == 0 ? 4 : 8, 8});
  });
  REQUIRE(codes == all(2, ExitCode::internal));
}
