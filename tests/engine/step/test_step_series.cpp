#include "engine/step/step_series.h"

#include <cmath>
#include <random>

#include "tests/support/catch.h"

namespace penstock {
namespace {

StepSeries::Point sum_of(const StepSeries& series) {
  StepSeries::Point sum;
  for (const StepSeries::Point& point : series.points()) {
    sum.prefill_tokens += point.prefill_tokens;
    sum.decode_tokens += point.decode_tokens;
    sum.sequence_seconds += point.sequence_seconds;
    sum.block_seconds += point.block_seconds;
  }
  return sum;
}

bool near(double a, double b) { return std::abs(a - b) <= 1e-9 * std::max(1.0, std::abs(b)); }

TEST_CASE("A step is spread over the points that it touches, by time") {
  StepSeries series;
  series.add(
      {.begin = 0.0015, .end = 0.0040, .prefill_tokens = 100, .decode_tokens = 5, .sequences = 8, .kv_blocks = 3});
  REQUIRE(series.interval_seconds() == 0.001);
  REQUIRE(series.points().size() >= 4);
  CHECK(series.points()[0].prefill_tokens == 0);
  CHECK(near(series.points()[1].prefill_tokens, 20));
  CHECK(near(series.points()[2].prefill_tokens, 40));
  CHECK(near(series.points()[3].prefill_tokens, 40));
  CHECK(near(series.points()[2].decode_tokens, 2));
  CHECK(near(series.points()[1].sequence_seconds, 8 * 0.0005));
  CHECK(near(series.points()[2].block_seconds, 3 * 0.001));
  CHECK(series.seconds() == 0.0040);
}

TEST_CASE("However long it runs, the points stay few and the sums right") {
  std::mt19937 random(7);
  StepSeries series;
  StepSeries::Point wanted;
  double now = 0;
  for (int i = 0; i < 20000; ++i) {
    StepSample step;
    step.begin = now + (i % 17 == 0 ? (random() % 1000) / 100.0 : 0);  // now and then nothing to do
    step.end = step.begin + (i % 5 == 0 ? 0 : (random() % 1000 + 1) / 1e4);
    step.prefill_tokens = random() % 512, step.decode_tokens = random() % 64;
    step.sequences = random() % 64 + 1, step.kv_blocks = random() % 1000;
    now = step.end;
    series.add(step);
    wanted.prefill_tokens += static_cast<double>(step.prefill_tokens);
    wanted.decode_tokens += static_cast<double>(step.decode_tokens);
    wanted.sequence_seconds += (step.end - step.begin) * static_cast<double>(step.sequences);
    wanted.block_seconds += (step.end - step.begin) * static_cast<double>(step.kv_blocks);
    REQUIRE(series.points().size() <= StepSeries::kMaxPoints);
    if (now > 0.25) REQUIRE(series.points().size() > StepSeries::kMaxPoints / 2 - 1);
    REQUIRE(static_cast<double>(series.points().size()) * series.interval_seconds() >= now * (1 - 1e-12));
  }
  const StepSeries::Point sum = sum_of(series);
  CHECK(near(sum.prefill_tokens, wanted.prefill_tokens));
  CHECK(near(sum.decode_tokens, wanted.decode_tokens));
  CHECK(near(sum.sequence_seconds, wanted.sequence_seconds));
  CHECK(near(sum.block_seconds, wanted.block_seconds));
  CHECK(series.seconds() == now);
}

TEST_CASE("Two series add up, whatever the length of their points") {
  StepSeries brief, lengthy;
  for (int i = 0; i < 100; ++i)
    brief.add({.begin = i * 1e-3, .end = (i + 1) * 1e-3, .prefill_tokens = 1, .sequences = 2, .kv_blocks = 3});
  for (int i = 0; i < 100; ++i)
    lengthy.add({.begin = i * 1.0, .end = i + 1.0, .decode_tokens = 10, .sequences = 4, .kv_blocks = 5});
  const StepSeries::Point wanted = {.prefill_tokens = 100,
                                    .decode_tokens = 1000,
                                    .sequence_seconds = 2 * 0.1 + 4 * 100,
                                    .block_seconds = 3 * 0.1 + 5 * 100};
  StepSeries forth = brief, back = lengthy;
  forth += lengthy;
  back += brief;
  for (const StepSeries* series : {&forth, &back}) {
    const StepSeries::Point sum = sum_of(*series);
    CHECK(near(sum.prefill_tokens, wanted.prefill_tokens));
    CHECK(near(sum.decode_tokens, wanted.decode_tokens));
    CHECK(near(sum.sequence_seconds, wanted.sequence_seconds));
    CHECK(near(sum.block_seconds, wanted.block_seconds));
    CHECK(near(series->points()[0].prefill_tokens, 100));
    CHECK(series->interval_seconds() == lengthy.interval_seconds());
    CHECK(series->seconds() == 100);
  }
}

TEST_CASE("A first step that is hours late finds its point") {
  StepSeries series;
  series.add({.begin = 36000, .end = 36001, .prefill_tokens = 7, .decode_tokens = 0, .sequences = 1, .kv_blocks = 1});
  CHECK(near(sum_of(series).prefill_tokens, 7));
  CHECK(series.points().size() <= StepSeries::kMaxPoints);
  CHECK(series.points().front().prefill_tokens == 0);
}

}  // namespace
}  // namespace penstock
