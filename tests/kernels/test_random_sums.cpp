// Ranks never part: sums of random sizes after random delays, eagerly and in graphs.
#include <chrono>

#include "tests/kernels/rank_fixture.h"

namespace penstock {
namespace {

// Uniform in [0, count).
int64_t below(std::mt19937& random, int64_t count) {
  return static_cast<int64_t>(random() % static_cast<uint32_t>(count));
}

// A graph of sums of random sizes, whose inputs are made anew from `source` by each replay.
class RandomSums {
 public:
  RandomSums(Rank rank, int64_t calls, uint32_t seed)
      : rank_(rank), random_(seed), own_random_(seed + 1 + rank.number) {
    for (int64_t i = 0; i < calls; ++i) {
      const Shape shape{1 + below(random_, 8), 8 * (1 + below(random_, i % 16 == 0 ? 512 : 64))};
      shapes_.push_back(shape);
      values_ += shape.rows * shape.cols;
    }
    const Shape large{64, 4096};  // in two shots
    shapes_[calls / 2] = large;
    values_ += large.rows * large.cols;
    source_ = rank.backend.allocate(values_ * element_bytes());
    results_ = rank.backend.allocate(values_ * element_bytes());
    load_ = rank.backend.allocate(kLoadRows * kLoadCols * element_bytes());
    rank.backend.fill_zero(load_.data(), load_.bytes());
    weight_ = rank.backend.allocate(kLoadCols * 4);
    const std::vector<float> ones(kLoadCols, 1);
    rank.backend.upload(weight_.data(), ones.data(), weight_.bytes());
    rank.communicator.rest();
    enqueue();  // every kernel has run before the recording
    graph_ = rank.backend.record([this] { enqueue(); });
    rank.communicator.rest();
  }

  // The bytes of all results for the source of this number.
  std::vector<uint8_t> replay(uint32_t number) {
    std::vector<float> values = normal_values(1 << 12, number * 8 + rank_.number);
    std::vector<float> source(values_);
    for (int64_t i = 0; i < values_; ++i) source[i] = values[i % values.size()];
    put(source);
    return run();
  }
  std::vector<uint8_t> run() {
    rank_.communicator.begin_pass();
    if (own_random_() % 2) std::this_thread::sleep_for(std::chrono::microseconds(own_random_() % 300));
    graph_->replay();
    std::vector<uint8_t> bytes(results_.bytes());
    rank_.backend.download(bytes.data(), results_.data(), results_.bytes());
    return bytes;
  }
  void put(const std::vector<float>& source) {
    if (rank_.backend.activation_dtype() == DType::f32)
      return rank_.backend.upload(source_.data(), source.data(), source_.bytes());
    std::vector<uint16_t> bits(source.size());
    std::ranges::transform(source, bits.begin(), f32_to_bf16);
    rank_.backend.upload(source_.data(), bits.data(), source_.bytes());
  }
  int64_t calls() const { return static_cast<int64_t>(shapes_.size()); }

 private:
  static constexpr int64_t kLoadRows = 512, kLoadCols = 4096;
  int64_t element_bytes() const { return dtype_bytes(rank_.backend.activation_dtype()); }

  void enqueue() {
    int64_t at = 0;
    for (const Shape& shape : shapes_) {
      const Tensor x = part(results_, at, shape);
      rank_.backend.rms_norm({x, part(source_, at, shape), weight_.as<float>(), 1e-5f});
      if (own_random_() % 8 == 0) delay(1 + own_random_() % 4);
      rank_.communicator.all_reduce_sum(x);
      at += shape.rows * shape.cols;
    }
  }
  Tensor part(const DeviceBuffer& buffer, int64_t at, Shape shape) const {
    return {buffer.as<char>() + at * element_bytes(), rank_.backend.activation_dtype(), shape.rows, shape.cols,
            shape.cols};
  }
  // Work that the other rank does not have.
  void delay(int times) {
    const Tensor x = load_.matrix(rank_.backend.activation_dtype(), kLoadRows, kLoadCols);
    for (int i = 0; i < times; ++i) rank_.backend.rms_norm({x, x, weight_.as<float>(), 1e-5f});
  }

  Rank rank_;
  std::mt19937 random_, own_random_;  // the same on all ranks; not
  std::vector<Shape> shapes_;
  int64_t values_ = 0;
  DeviceBuffer source_, results_, load_, weight_;
  std::unique_ptr<Graph> graph_;
};

// Sums of random sizes in one graph, replayed with delays; the bits of all ranks, replay by replay.
void check_random_sums(int size, int64_t calls, int replays, uint32_t seed) {
  Ranks ranks(size);
  std::vector<std::vector<uint8_t>> results(size);
  int64_t wrong = 0, sums = 0;
  const auto codes = ranks.run([&](Rank rank) {
    RandomSums graph(rank, calls, seed);
    std::vector<uint8_t> first;
    for (int replay = 0; replay < replays; ++replay) {
      // Every fourth has new values; the others must repeat its bits.
      if (replay % 4 == 0)
        results[rank.number] = first = graph.replay(static_cast<uint32_t>(replay));
      else
        results[rank.number] = graph.run();
      rank.communicator.rest();
      if (rank.number == 0) {
        for (const auto& result : results) wrong += result != first;
        sums += graph.calls();
      }
      rank.communicator.rest();
    }
  });
  CHECK(codes == ranks.all(ExitCode::ok));
  CHECK(sums == calls * replays);
  CHECK(wrong == 0);
}

void check_random_calls(int size, int calls, uint32_t seed) {
  Ranks ranks(size);
  std::mt19937 random(seed);
  for (int i = 0; i < calls; ++i) {
    const bool large = i % 50 == 0;
    check_sum(ranks, {1 + below(random, large ? 90 : 9), 8 * (1 + below(random, large ? 512 : 128))}, seed + i);
  }
}

}  // namespace

TEST_CASE("some sums of random sizes", "[ranks]") {
  for (int size : {2, 4}) {
    check_random_calls(size, 25, 3);
    check_random_sums(size, 50, 8, 5);
  }
}

TEST_CASE("a hundred thousand sums of random sizes", "[.cuda][ranks]") {
  REQUIRE(on_cuda());
  check_random_calls(2, 4000, 3);
  check_random_sums(2, 250, 400, 5);
  check_random_sums(4, 250, 100, 7);
}

}  // namespace penstock
