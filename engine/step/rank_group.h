// The ranks of one model: a thread each, all doing the same steps in the same order.
#pragma once
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
  // Loads every rank's share, in parallel; `draft` may be null. References and pointers must outlive the group.
  // Errors: what the ranks threw.
  RankGroup(const ModelConfig& model, const EngineConfig& config, const SafetensorsFolder* files, StageTimes& times,
            const DraftModel* draft = nullptr);
  ~RankGroup();  // waits for the steps that were submitted

  const MemoryPlan& memory_plan() const;
  const StepAccount& account() const;  // of rank 0
  // Of rank 0's device. No step may be queued or under way. Errors: Error(no_device).
  Roofline measure_roofline();

  // Queues a step on every rank; returns at once.
  void submit(StepPlan plan);
  // The result of the oldest submitted step that was not waited for, with rank 0's timing. Rethrows what a rank threw;
  // after that the group is dead.
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
