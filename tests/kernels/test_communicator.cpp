// What a communicator promises, on every device.
#include <chrono>

#include "tests/kernels/rank_fixture.h"

namespace penstock {

TEST_CASE("ranks sum in rank order, in f32, and round once", "[ranks]") {
  for (int size : {2, 3, 4}) {
    Ranks ranks(size);
    uint32_t seed = 1;
    for (int64_t cols : {8, 40, 576, 4096})
      for (int64_t rows : {1, 3, 17}) check_sum(ranks, {rows, cols}, seed++);
    check_sum(ranks, {300, 4096}, seed);  // on a GPU beyond one shot
  }
}

TEST_CASE("a sum of any values is a sum", "[ranks]") {
  Ranks ranks(2);
  // All ones are what a GPU's inbox is empty by.
  const std::vector<uint16_t> bits = {0xFFFF, 0xFFFF, 0x8000, 0x8000, 0x7F80, 0x0001, 0x3F80, 0xFF80};
  std::vector<std::vector<float>> results(2);
  const auto codes = ranks.run([&](Rank rank) {
    std::vector<float> values;
    for (uint16_t one : bits) values.push_back(bf16_to_f32(one));
    for (int round = 0; round < 6; ++round) {  // every inbox, and the first ones again
      DeviceNumbers x(rank.backend, values);
      rank.communicator.all_reduce_sum(x.matrix(1, 8));
      results[rank.number] = x.download();
    }
  });
  REQUIRE(codes == ranks.all(ExitCode::ok));
  for (const std::vector<float>& result : results) {
    for (int i : {0, 1}) CHECK(std::isnan(result[i]));
    for (int i : {2, 3}) CHECK((result[i] == 0));
    CHECK(result[4] == kInfinity);
    CHECK(result[5] == 2 * bf16_to_f32(1));
    CHECK(result[6] == 2);
    CHECK(result[7] == -kInfinity);
  }
}

TEST_CASE("the fused sum has the bits of its parts", "[ranks]") {
  for (int size : {2, 4}) {
    Ranks ranks(size);
    for (const auto [rows, cols] : {Shape{1, 64}, Shape{5, 4096}, Shape{40, 1024}, Shape{2, 12288}, Shape{3, 32768}}) {
      const auto count = static_cast<size_t>(rows * cols);
      const auto values = values_of(ranks, count, static_cast<uint32_t>(cols));
      const std::vector<float> before = normal_values(count, 7), weight = normal_values(cols, 8);
      std::vector<std::string> differences(size);
      const auto codes = ranks.run([&, rows = rows, cols = cols](Rank rank) {
        Backend& backend = rank.backend;
        const DeviceArray<float> w(backend, weight);
        DeviceNumbers x(backend, values[rank.number]), residual(backend, before);
        DeviceNumbers x2(backend, values[rank.number]), residual2(backend, before);
        rank.communicator.sum_add_rms_norm(
            {x.matrix(rows, cols), residual.matrix(rows, cols), x.matrix(rows, cols), w.data(), 1e-5f}, backend);
        rank.communicator.all_reduce_sum(x2.matrix(rows, cols));
        backend.add_rms_norm(
            {x2.matrix(rows, cols), residual2.matrix(rows, cols), x2.matrix(rows, cols), w.data(), 1e-5f});
        differences[rank.number] =
            bit_difference(x.download(), x2.download()) + bit_difference(residual.download(), residual2.download());
      });
      INFO(size << " ranks, " << rows << " x " << cols);
      REQUIRE(codes == ranks.all(ExitCode::ok));
      REQUIRE(differences == std::vector<std::string>(size));
    }
  }
}

TEST_CASE("gathered columns stand side by side on every rank", "[ranks]") {
  for (int size : {2, 3})
    for (const auto [rows, cols] : {Shape{1, 5}, Shape{4, 64}, Shape{33, 1000}, Shape{64, 16032}}) {
      Ranks ranks(size);
      std::vector<std::vector<float>> parts;
      for (int r = 0; r < size; ++r) parts.push_back(normal_values(rows * cols, 100 + r));
      std::vector<float> expected(size * rows * cols);
      for (int64_t row = 0; row < rows; ++row)
        for (int r = 0; r < size; ++r)
          std::copy_n(parts[r].begin() + row * cols, cols, expected.begin() + (row * size + r) * cols);
      std::vector<std::string> differences(size);
      const auto codes = ranks.run([&, rows = rows, cols = cols](Rank rank) {
        DeviceArray<float> part(rank.backend, parts[rank.number]), out(rank.backend, expected.size());
        rank.communicator.all_gather_columns(out.matrix(rows, size * cols), part.matrix(rows, cols));
        differences[rank.number] = bit_difference(out.download(), expected);
      });
      INFO(size << " ranks, " << rows << " x " << cols);
      REQUIRE(codes == ranks.all(ExitCode::ok));
      REQUIRE(differences == std::vector<std::string>(size));
    }
}

TEST_CASE("an abort ends what waits for a rank that does not come", "[ranks]") {
  Ranks ranks(2);
  std::jthread watchdog;
  const auto codes = ranks.run([&](Rank rank) {
    DeviceNumbers x(rank.backend, std::vector<float>(4096, 1));
    const auto sum = [&] { rank.communicator.all_reduce_sum(x.matrix(8, 512)); };
    sum();
    const auto graph = rank.backend.record(sum);
    rank.communicator.rest();
    if (rank.number == 1) {
      std::this_thread::sleep_for(std::chrono::milliseconds(100));
      rank.communicator.abort();
      rank.communicator.rest();
    }
    graph->replay();
    rank.backend.synchronize();
    rank.communicator.rest();
  });
  REQUIRE(codes == ranks.all(ExitCode::internal));
}

TEST_CASE("ranks whose shapes disagree fail", "[ranks]") {
  Ranks ranks(2);
  const auto codes = ranks.run([](Rank rank) {
    DeviceNumbers x(rank.backend, std::vector<float>(64, 1));
    rank.communicator.all_reduce_sum(x.matrix(1, rank.number == 0 ? 32 : 64));
  });
  REQUIRE(codes == ranks.all(ExitCode::internal));
}

}  // namespace penstock
