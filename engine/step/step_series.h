// What the engine did over time, in a fixed amount of memory however long it runs.
#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

namespace penstock {

// A step, in seconds since the engine began.
struct StepSample {
  double begin = 0, end = 0;
  int64_t prefill_tokens = 0, decode_tokens = 0;
  int64_t drafts = 0, accepted_drafts = 0;  // of the decode tokens
  int64_t sequences = 0;                    // rows of the step
  int64_t kv_blocks = 0;                    // that sequences hold
};

// Points of equal length, the first one at 0. A step counts in each point by the share of its time that lies there, so
// that a long step is no spike. When a step ends beyond the last possible point, each two neighbours become one and the
// points twice as long: sums are kept, and between 120 and 240 points are in use once the first quarter second is over.
class StepSeries {
 public:
  static constexpr size_t kMaxPoints = 240;
  struct Point {
    double prefill_tokens = 0, decode_tokens = 0, drafts = 0, accepted_drafts = 0;
    double sequence_seconds = 0, block_seconds = 0;  // divided by the point's length: the mean over it
  };

  // 0 <= begin <= end, and end not before the last one's.
  void add(const StepSample& step);
  // What another did at the same time.
  StepSeries& operator+=(StepSeries other);

  const std::vector<Point>& points() const { return points_; }  // the last one may end after seconds()
  double interval_seconds() const { return interval_; }
  double seconds() const { return seconds_; }  // when the last step ended

 private:
  void halve();

  std::vector<Point> points_;
  double interval_ = 1e-3;
  double seconds_ = 0;
};

}  // namespace penstock
