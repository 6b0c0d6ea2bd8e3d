// The ranks of one model: a thread each, all doing the same steps in the same order.
#pragma once
#include <exception>
#include <functional>
#include <memory>
#include <vector>

#include "engine/engine_config.h"
#include "engine/model/model_config.h"
#include "engine/model/safetensors_file.h"
#include "engine/schedule/step_plan.h"
#include "engine/stage_timer.h"
#include "engine/step/memory_plan.h"
#include "engine/step/model_runner.h"
#include "engine/step/step_work.h"

namespace penstock {

struct DraftModel {
  ModelConfig model;
  const SafetensorsFolder* files = nullptr;  // may be null with EngineConfig::random_weights
  int64_t num_ids = 0;                       // as in DraftShare
};

class RankGroup {
 public:
  // Of the config's replica `replica`: opens its devices and plans their memory, but takes none of it, so that all who
  // share a device can look at it first. `draft` may be null. References and pointers must outlive the group.
  // Errors: Error(no_device), Error(bad_model).
  RankGroup(const ModelConfig& model, const EngineConfig& config, int32_t replica, const SafetensorsFolder* files,
            StageTimes& times, const DraftModel* draft = nullptr);
  // Waits for the steps that were submitted: not to be called once the group has failed, for a rank may never return.
  ~RankGroup();

  // Loads every rank's share, in parallel, and starts their threads. Once, before any step. `on_failure` gets what ends
  // the group, at most once and from any thread, before wait() throws it; wait() itself may be what hangs.
  // Errors: what the ranks threw.
  void load(std::function<void(std::exception_ptr)> on_failure);

  const MemoryPlan& memory_plan() const;
  const StepAccount& account() const;  // of rank 0
  // Of rank 0's device. No step may be queued or under way. Errors: Error(no_device).
  Roofline measure_roofline();

  // Queues a step on every rank; returns at once.
  void submit(StepPlan plan);
  // The result of the oldest submitted step that was not waited for, with rank 0's timing. Rethrows what ended the
  // group: what a rank threw, or DeviceFault for a rank or a step without a sign of life (watchdog.h).
  struct Done {
    StepResult result;
    ModelRunner::Timing timing;
  };
  Done wait();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace penstock
