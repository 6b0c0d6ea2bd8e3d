// Sums that begin early and end late, with verbs of the rank's own between.
#include <chrono>

#include "tests/kernels/rank_fixture.h"

namespace penstock {
namespace {

// Two tensors of a rank, made anew from `source` each time: one sum ends with a norm, the other without.
class TwoSums {
 public:
  TwoSums(Rank rank, Shape each, const std::vector<float>& values)
      : rank_(rank),
        each_(each),
        random_(rank.number),
        source_(rank.backend, values),
        x_(rank.backend, values.size()),
        residual_(rank.backend, values.size()),
        room_(rank.backend, values.size() * (rank.communicator.size() - 1)),
        load_(rank.backend, std::vector<float>(256 * each.cols, 1)),
        weight_(rank.backend, normal_values(each.cols, 9)),
        ones_(rank.backend, std::vector<float>(each.cols, 1)) {}

  void at_once() {
    fill();
    rank_.communicator.all_reduce_sum(first(x_));
    rank_.backend.add_rms_norm(add());
    rank_.communicator.all_reduce_sum(second(x_));
  }
  void apart() {
    fill();
    rank_.communicator.begin_sum(first(x_), room(0));
    delay();
    rank_.communicator.begin_sum(second(x_), room(1));
    delay();
    rank_.communicator.end_sum_add_rms_norm(add(), rank_.backend);
    delay();
    rank_.communicator.end_sum(second(x_));
  }
  std::vector<float> results() const {
    std::vector<float> all = x_.download(), residual = residual_.download();
    all.insert(all.end(), residual.begin(), residual.end());
    return all;
  }

 private:
  Tensor whole(const DeviceNumbers& x) const { return x.matrix(2 * each_.rows, each_.cols); }
  Tensor first(const DeviceNumbers& x) const { return whole(x).first_rows(each_.rows); }
  Tensor second(const DeviceNumbers& x) const { return whole(x).row_range(each_.rows, each_.rows); }
  Tensor room(int64_t sum) const {
    const int64_t rows = each_.rows * (rank_.communicator.size() - 1);
    return room_.matrix(2 * rows, each_.cols).row_range(sum * rows, rows);
  }
  AddRmsNorm add() const { return {first(x_), first(residual_), first(x_), weight_.data(), 1e-5f}; }
  void fill() {
    for (const DeviceNumbers* x : {&x_, &residual_})
      rank_.backend.rms_norm({whole(*x), whole(source_), ones_.data(), 1e-5f});
  }
  // Work that the other ranks do not have.
  void delay() {
    const Tensor x = load_.matrix(256, each_.cols);
    for (int times = static_cast<int>(random_() % 4); times > 0; --times)
      rank_.backend.rms_norm({x, x, ones_.data(), 1e-5f});
  }

  Rank rank_;
  Shape each_;
  std::mt19937 random_;  // not the same on all ranks
  DeviceNumbers source_, x_, residual_, room_, load_;
  DeviceArray<float> weight_, ones_;
};

void check_begun_sums(int size, Shape each, int replays) {
  Ranks ranks(size, SumChoice::own);
  const auto values = values_of(ranks, 2 * each.rows * each.cols, static_cast<uint32_t>(each.cols));
  std::vector<std::string> differences(size);
  const auto codes = ranks.run([&](Rank rank) {
    TwoSums sums(rank, each, values[rank.number]);
    sums.at_once();
    const std::vector<float> expected = sums.results();
    const auto compare = [&] {
      rank.communicator.rest();  // before it is written again, by any rank
      differences[rank.number] += bit_difference(sums.results(), expected);
      rank.communicator.rest();
    };
    sums.apart();
    compare();
    rank.communicator.rest();
    const auto graph = rank.backend.record([&] {
      for (int i = 0; i < 3; ++i) sums.apart();
    });
    for (int replay = 0; replay < replays; ++replay) {
      rank.communicator.rest();
      graph->replay();
      compare();
    }
  });
  INFO(size << " ranks, " << each.rows << " x " << each.cols);
  REQUIRE(codes == ranks.all(ExitCode::ok));
  REQUIRE(differences == std::vector<std::string>(size));
}

}  // namespace

TEST_CASE("sums that begin early have the bits of sums at once", "[ranks]") {
  for (int size : {2, 3, 4})  // three take them at once
    for (const Shape each : {Shape{1, 64}, Shape{5, 4096}, Shape{40, 1024}, Shape{3, 32768}, Shape{300, 640}})
      check_begun_sums(size, each, 3);
}

TEST_CASE("large sums that begin early, many times over", "[.cuda][ranks]") {
  REQUIRE(on_cuda());
  check_begun_sums(2, {1024, 4096}, 20);
}

TEST_CASE("a sum that was not begun cannot end, nor can a third begin", "[.cuda][ranks]") {
  REQUIRE(on_cuda());
  for (bool third : {false, true}) {
    Ranks ranks(2);
    const auto codes = ranks.run([&](Rank rank) {
      DeviceNumbers x(rank.backend, std::vector<float>(64, 1)), room(rank.backend, 64);
      const auto row = [](const DeviceNumbers& of, int64_t i) { return of.matrix(8, 8).row_range(i, 1); };
      for (int64_t i = 0; i < 2; ++i) rank.communicator.begin_sum(row(x, i), row(room, i));
      if (third)
        rank.communicator.begin_sum(row(x, 2), row(room, 2));
      else
        rank.communicator.end_sum(row(x, 1));
    });
    REQUIRE(codes == ranks.all(ExitCode::internal));
  }
}

}  // namespace penstock
