#include "engine/step/step_series.h"

#include <algorithm>
#include <cmath>

namespace penstock {

namespace {

void add_share(StepSeries::Point& point, const StepSample& step, double share, double seconds) {
  point.prefill_tokens += share * static_cast<double>(step.prefill_tokens);
  point.decode_tokens += share * static_cast<double>(step.decode_tokens);
  point.drafts += share * static_cast<double>(step.drafts);
  point.accepted_drafts += share * static_cast<double>(step.accepted_drafts);
  point.sequence_seconds += seconds * static_cast<double>(step.sequences);
  point.block_seconds += seconds * static_cast<double>(step.kv_blocks);
}

void add_point(StepSeries::Point& sum, const StepSeries::Point& other) {
  sum.prefill_tokens += other.prefill_tokens;
  sum.decode_tokens += other.decode_tokens;
  sum.drafts += other.drafts;
  sum.accepted_drafts += other.accepted_drafts;
  sum.sequence_seconds += other.sequence_seconds;
  sum.block_seconds += other.block_seconds;
}

}  // namespace

void StepSeries::add(const StepSample& step) {
  while (step.end > interval_ * static_cast<double>(kMaxPoints)) halve();
  seconds_ = step.end;
  const auto index_of = [&](double time) { return static_cast<size_t>(time / interval_); };
  const size_t first = std::min(index_of(step.begin), kMaxPoints - 1);
  const size_t last = std::min(index_of(step.end), kMaxPoints - 1);
  if (points_.size() <= last) points_.resize(last + 1);
  const double duration = step.end - step.begin;
  if (duration <= 0) return add_share(points_[last], step, 1, 0);
  for (size_t i = first; i <= last; ++i) {
    const double from = std::max(step.begin, static_cast<double>(i) * interval_);
    const double to = i == last ? step.end : static_cast<double>(i + 1) * interval_;
    const double inside = std::max(0.0, to - from);
    add_share(points_[i], step, inside / duration, inside);
  }
}

StepSeries& StepSeries::operator+=(StepSeries other) {
  while (interval_ < other.interval_) halve();
  while (other.interval_ < interval_) other.halve();
  points_.resize(std::max(points_.size(), other.points_.size()));
  for (size_t i = 0; i < other.points_.size(); ++i) add_point(points_[i], other.points_[i]);
  seconds_ = std::max(seconds_, other.seconds_);
  return *this;
}

void StepSeries::halve() {
  const size_t half = (points_.size() + 1) / 2;
  for (size_t i = 0; i < half; ++i) {
    Point sum = points_[2 * i];
    if (2 * i + 1 < points_.size()) add_point(sum, points_[2 * i + 1]);
    points_[i] = sum;
  }
  points_.resize(half);
  interval_ *= 2;
}

}  // namespace penstock
