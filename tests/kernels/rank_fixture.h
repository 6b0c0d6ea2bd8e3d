// Ranks for a communicator's tests, whatever carries it: threads over host memory on the CPU; on a GPU ranks that share
// the first one, so that kernels wait for each other for real, or the first PENSTOCK_TEST_GPUS.
#pragma once
#include <functional>
#include <thread>

#include "kernels/communicator.h"
#include "tests/kernels/op_fixture.h"
#include "tests/support/test_gpus.h"

namespace penstock {

struct Rank {
  int number;
  Backend& backend;
  Communicator& communicator;
};

class Ranks {
 public:
  explicit Ranks(int size, SumChoice sums = SumChoice::automatic) {
    std::vector<Backend*> all;
    for (int r = 0; r < size; ++r) {
      backends_.push_back(on_cuda() ? cuda_backend(r % test::test_gpus()) : cpu_backend(1));
      all.push_back(backends_.back().get());
    }
    communicators_ = make_communicators(all, {.sums = sums});
  }
  int size() const { return static_cast<int>(backends_.size()); }
  Communicator& communicator(int rank) { return *communicators_[rank]; }

  // Calls body once a rank, each on a thread; what a rank throws is its exit code, and ends the group.
  std::vector<ExitCode> run(const std::function<void(Rank)>& body) {
    std::vector<ExitCode> codes(size(), ExitCode::ok);
    std::vector<std::jthread> threads;
    for (int r = 0; r < size(); ++r)
      threads.emplace_back([&, r] {
        try {
          body({r, *backends_[r], *communicators_[r]});
        } catch (const Error& error) {
          codes[r] = error.code();
          communicators_[r]->abort();
        }
      });
    threads.clear();
    return codes;
  }
  std::vector<ExitCode> all(ExitCode code) const { return std::vector<ExitCode>(size(), code); }

 private:
  std::vector<std::unique_ptr<Communicator>> communicators_;
  std::vector<std::unique_ptr<Backend>> backends_;
};

// As the ranks hold them: different values, whose sum depends on its order.
inline std::vector<std::vector<float>> values_of(const Ranks& ranks, size_t count, uint32_t seed) {
  const bool bf16 = on_cuda();
  std::vector<std::vector<float>> all;
  for (int r = 0; r < ranks.size(); ++r)
    all.push_back(rounded(bf16 ? DType::bf16 : DType::f32, normal_values(count, seed * 16 + r, 3.0f * (r + 1))));
  return all;
}

inline std::vector<float> sum_of(const std::vector<std::vector<float>>& parts) {
  std::vector<float> sum(parts[0].size());
  for (const std::vector<float>& part : parts)
    for (size_t i = 0; i < sum.size(); ++i) sum[i] += part[i];
  return rounded(on_cuda() ? DType::bf16 : DType::f32, std::move(sum));
}

struct Shape {
  int64_t rows, cols;
};

// Rows of x with a gap behind each.
inline void check_sum(Ranks& ranks, Shape shape, uint32_t seed) {
  const int64_t stride = shape.cols + 16;
  const auto values = values_of(ranks, shape.rows * stride, seed);
  const std::vector<float> sum = sum_of(values);
  std::vector<std::string> differences(ranks.size());
  const auto codes = ranks.run([&](Rank rank) {
    DeviceNumbers x(rank.backend, values[rank.number]);
    rank.communicator.all_reduce_sum(x.matrix(shape.rows, shape.cols, stride));
    std::vector<float> expected = values[rank.number];
    for (int64_t r = 0; r < shape.rows; ++r)
      std::copy_n(sum.begin() + r * stride, shape.cols, expected.begin() + r * stride);
    differences[rank.number] = bit_difference(x.download(), expected);
  });
  INFO(ranks.size() << " ranks, " << shape.rows << " x " << shape.cols);
  REQUIRE(codes == ranks.all(ExitCode::ok));
  REQUIRE(differences == std::vector<std::string>(ranks.size()));
}

}  // namespace penstock
