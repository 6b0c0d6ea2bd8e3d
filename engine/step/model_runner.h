// Runs steps on one rank: the model, the slots, and the model that drafts for it where there is one.
#pragma once
#include <memory>
#include <optional>
#include <vector>

#include "engine/step/pass_runner.h"

namespace penstock {

// A second, small model that drafts for the first.
struct DraftShare {
  const ModelConfig& model;
  const ShardPlan& shard;
  const SafetensorsFolder* files;  // may be null with EngineConfig::random_weights
  int64_t num_ids = 0;  // of the tokenizer that both have; 0: there is none. Others are padding, never drafted
};

class ModelRunner {
 public:
  // Reads the weights. `files` may be null with config.random_weights. All references must outlive the runner, those in
  // `draft` too.
  ModelRunner(const ModelConfig& model, const EngineConfig& config, const MemoryPlan& plan, const ShardPlan& shard,
              const SafetensorsFolder* files, int threads, Backend& backend, Communicator& communicator,
              StageTimes& times, const std::optional<DraftShare>& draft = {});

  // What a step took, for the report.
  struct Timing {
    int64_t bucket = 0;
    double seconds = 0;  // trunk and head
    double head_seconds = 0;
    double draft_seconds = 0;  // of the draft model, before those
    double idle_seconds = 0;   // of the device before it all: since the step before, if there was one
    int64_t head_bucket = 0;   // rows of all passes of the head, padding included
    int64_t graphs = 0;        // recorded so far
    int64_t graph_bytes = 0;   // of the device, by those
    bool recorded = false;     // graphs, before the step began
    bool warming = false;      // something ran for the first time, or was recorded
    std::optional<OpTimes> ops;
  };

  // A step that was started. Not to outlive its runner.
  struct Step {
    uint64_t id = 0;
    int64_t bucket = 0, wanted = 0, head_bucket = 0, graphs = 0, graph_bytes = 0;
    bool wants_top = false, recorded = false, warming = false, timed = false;
    std::unique_ptr<Moment> draft_begin;  // null: no drafts
    std::unique_ptr<Moment> begin, head_begin, end, downloaded;
    std::vector<std::shared_ptr<const OpMarks>> marks;  // of a timed step
    const char* results = nullptr;  // [wanted] HeadResult, then TopLogprob: staging memory that a later step will use

    const Moment& first_moment() const { return draft_begin ? *draft_begin : *begin; }
  };

  // Enqueues the plan. At most config.steps_in_flight steps may be started and not finished.
  Step start(const StepPlan& plan);
  // Waits for the step; from any thread. Rank 0's result holds one entry for each wanted row.
  static StepResult finish(const Step& step, Timing& timing);
  StepResult run(const StepPlan& plan, Timing& timing) { return finish(start(plan), timing); }

  Decoder& decoder() { return target_.decoder(); }

  // `profiler` is the backend of the constructor. Some of the steps have their ops timed from now on, without the draft
  // model's.
  void time_ops(ProfilingBackend& profiler) { target_.time_ops(profiler); }

 private:
  struct DraftPass {
    StepPlan plan;
    PassRunner::Pass pass;
  };
  std::vector<DraftPass> prepare_drafts(const StepPlan& plan);
  void upload(const StepPlan& plan, const PassRunner::Pass& pass);
  void run_drafts(std::vector<DraftPass>& passes);
  void download_results(const StepPlan& plan, Step& step);

  const MemoryPlan& memory_;
  Backend& backend_;
  StageTimes& times_;
  SlotBuffers slots_;
  PassRunner target_;
  std::optional<PassRunner> draft_;
  int32_t draft_vocab_ = 0;
  std::vector<DeviceBuffer> results_;  // staging, taken in turn
  size_t next_results_ = 0;
};

}  // namespace penstock
