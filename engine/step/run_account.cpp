#include "engine/step/run_account.h"

namespace penstock {
namespace {

StepKind kind_of(const PlannedStep& step) {
  if (step.prefill_tokens == 0) return StepKind::decode;
  return step.prefill_tokens == step.tokens ? StepKind::prefill : StepKind::mixed;
}

void add_timed(StepClass& sum, const PlannedStep& step, const ModelRunner::Timing& timing) {
  ++sum.timed_steps;
  sum.timed_seconds += timing.seconds;
  sum.ops += *timing.ops;
  for (size_t i = 0; i < kNumOps; ++i)
    for (const OpWork* part : {&step.work.prefill, &step.work.decode, &step.work.head}) sum.timed_work[i] += (*part)[i];
}

}  // namespace

void RunAccount::add(const PlannedStep& step, const ModelRunner::Timing& timing) {
  StepClass& sum = classes_[{kind_of(step), timing.bucket}];
  sum.work += step.work;
  if (timing.ops) {
    add_timed(sum, step, timing);
  } else {
    ++sum.steps;
    sum.seconds += timing.seconds;
  }
  if (timing.head_bucket > 0) {
    HeadBucket& head = heads_[timing.head_bucket];
    ++head.steps;
    head.padding_rows += timing.head_bucket - step.head_rows;
  }
  busy_seconds_ += timing.seconds + timing.draft_seconds;
  if (step.after_sleep) {
    starved_seconds_ += timing.idle_seconds;
    return;
  }
  idle_seconds_ += timing.idle_seconds;
  if (timing.recorded) idle_recording_seconds_ += timing.idle_seconds;
}

RunAccount& RunAccount::operator+=(const RunAccount& other) {
  for (const auto& [key, steps] : other.classes_) {
    StepClass& sum = classes_[key];
    sum.steps += steps.steps;
    sum.seconds += steps.seconds;
    sum.work += steps.work;
    sum.timed_steps += steps.timed_steps;
    sum.timed_seconds += steps.timed_seconds;
    sum.ops += steps.ops;
    for (size_t i = 0; i < kNumOps; ++i) sum.timed_work[i] += steps.timed_work[i];
  }
  for (const auto& [rows, head] : other.heads_) {
    heads_[rows].steps += head.steps;
    heads_[rows].padding_rows += head.padding_rows;
  }
  busy_seconds_ += other.busy_seconds_;
  idle_seconds_ += other.idle_seconds_;
  idle_recording_seconds_ += other.idle_recording_seconds_;
  starved_seconds_ += other.starved_seconds_;
  return *this;
}

}  // namespace penstock
