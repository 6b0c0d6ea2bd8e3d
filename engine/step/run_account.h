// What a run's steps were, summed: their time on the device, their work, and what their ops took where that was timed.
#pragma once
#include <cstdint>
#include <map>
#include <utility>
#include <vector>

#include "engine/step/model_runner.h"
#include "engine/step/step_work.h"

namespace penstock {

enum class StepKind : uint8_t { prefill, mixed, decode };
constexpr const char* step_kind_name(StepKind kind) {
  constexpr const char* names[] = {"prefill", "mixed", "decode"};
  return names[static_cast<int>(kind)];
}

// Steps of one kind and bucket: alike enough for the sum of their work to say what bounds each.
struct StepClass {
  int64_t steps = 0;   // replayed as they are
  double seconds = 0;  // of those, on the device
  StepWork work{};     // of all steps
  // Steps with marks between their ops (--profile ops) are not among those above.
  int64_t timed_steps = 0;
  double timed_seconds = 0;
  OpTimes ops{};
  OpWork timed_work{};
};

struct HeadBucket {
  int64_t steps = 0;
  int64_t padding_rows = 0;  // of steps x bucket
};

struct PlannedStep {
  int64_t tokens = 0, prefill_tokens = 0, head_rows = 0, sequences = 0;
  int64_t drafts = 0;  // of the tokens
  StepWork work{};
  bool after_sleep = false;  // the engine had nothing to do before it
};

class RunAccount {
 public:
  void add(const PlannedStep& step, const ModelRunner::Timing& timing);
  RunAccount& operator+=(const RunAccount& other);  // of another device

  const std::map<std::pair<StepKind, int64_t>, StepClass>& classes() const { return classes_; }  // by kind and bucket
  const std::map<int64_t, HeadBucket>& heads() const { return heads_; }  // by the padded rows of a step
  double busy_seconds() const { return busy_seconds_; }                  // of the device: in steps and drafts
  // Between the end of a step and the beginning of the next, while the engine had work: copies, and waiting for the
  // host. Recording graphs is a part of it.
  double idle_seconds() const { return idle_seconds_; }
  double idle_recording_seconds() const { return idle_recording_seconds_; }
  double starved_seconds() const { return starved_seconds_; }  // the same while it had none

 private:
  std::map<std::pair<StepKind, int64_t>, StepClass> classes_;
  std::map<int64_t, HeadBucket> heads_;
  double busy_seconds_ = 0, idle_seconds_ = 0, idle_recording_seconds_ = 0, starved_seconds_ = 0;
};

}  // namespace penstock
