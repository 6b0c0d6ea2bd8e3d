// Where the time of a run goes, under the stage names of design.md §8.
#pragma once
#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>

#include "kernels/trace_range.h"

namespace penstock {

enum class Stage {
  load_weights,
  plan_memory,
  capture_graphs,
  read,
  tokenize,
  schedule,
  upload,
  prefill,
  decode,
  draft,
  sample,
  detokenize,
  write,
};
constexpr int kNumStages = 13;
constexpr const char* stage_name(Stage stage) {
  constexpr const char* names[kNumStages] = {"load_weights", "plan_memory", "capture_graphs", "read",   "tokenize",
                                             "schedule",     "upload",      "prefill",        "decode", "draft",
                                             "sample",       "detokenize",  "write"};
  return names[static_cast<int>(stage)];
}

inline double monotonic_seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// Sums and counts by stage. Thread-safe; stages on different threads overlap, so the sums may exceed the wall time.
class StageTimes {
 public:
  void add(Stage stage, double seconds) {
    auto& entry = entries_[static_cast<int>(stage)];
    entry.nanoseconds += static_cast<int64_t>(seconds * 1e9);
    ++entry.count;
  }
  double seconds(Stage stage) const {
    return static_cast<double>(entries_[static_cast<int>(stage)].nanoseconds) * 1e-9;
  }
  int64_t count(Stage stage) const { return entries_[static_cast<int>(stage)].count; }

 private:
  struct Entry {
    std::atomic<int64_t> nanoseconds{0}, count{0};
  };
  std::array<Entry, kNumStages> entries_;
};

// Times its own scope, and is its range for a profiler.
class StageTimer {
 public:
  StageTimer(StageTimes& times, Stage stage)
      : times_(times), stage_(stage), range_(stage_name(stage)), start_(monotonic_seconds()) {}
  ~StageTimer() { times_.add(stage_, monotonic_seconds() - start_); }
  StageTimer(const StageTimer&) = delete;

 private:
  StageTimes& times_;
  Stage stage_;
  TraceRange range_;
  double start_;
};

}  // namespace penstock
