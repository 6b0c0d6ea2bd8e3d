// Runs steps on one rank: the model's weights, its KV and its graphs.
#pragma once
#include <functional>
#include <future>
#include <map>
#include <memory>
#include <vector>

#include "engine/engine_config.h"
#include "engine/model/decoder.h"
#include "engine/model/safetensors_file.h"
#include "engine/stage_timer.h"
#include "engine/step/kv_pool.h"
#include "engine/step/memory_plan.h"
#include "engine/step/step_buffers.h"

namespace penstock {

class ModelRunner {
 public:
  // Reads the weights. `files` may be null with config.random_weights. All references must outlive the runner.
  ModelRunner(const ModelConfig& model, const EngineConfig& config, const MemoryPlan& plan, const ShardPlan& shard,
              const SafetensorsFolder* files, int threads, Backend& backend, Communicator& communicator,
              StageTimes& times);

  // What a step took, for the report.
  struct Timing {
    int64_t bucket = 0;
    double seconds = 0;  // trunk and head
    double head_seconds = 0;
    int64_t graphs = 0, graph_bytes = 0;  // captured so far
  };

  // A step that was started. Not to outlive its runner.
  struct Step {
    uint64_t id = 0;
    int64_t bucket = 0, wanted = 0, graphs = 0, graph_bytes = 0;
    bool wants_top = false;
    std::unique_ptr<Moment> begin, head_begin, end, downloaded;
    const char* results = nullptr;  // [wanted] HeadResult, then TopLogprob: staging memory that a later step will use
  };

  // Enqueues the plan. At most config.steps_in_flight steps may be started and not finished.
  Step start(const StepPlan& plan);
  // Waits for the step; from any thread. Rank 0's result holds one entry for each wanted row.
  static StepResult finish(const Step& step, Timing& timing);
  StepResult run(const StepPlan& plan, Timing& timing) { return finish(start(plan), timing); }

  Decoder& decoder() { return decoder_; }

 private:
  void copy_blocks(const StepPlan& plan);
  void prepare_slots(const StepPlan& plan);
  void download_results(const StepPlan& plan, Step& step);
  int64_t padded_head_rows(int64_t wanted) const;
  void run_trunk(int64_t tokens);
  void run_head(int64_t first, int64_t rows);
  struct Recorded {
    int64_t uses = 0;
    std::unique_ptr<Graph> graph;
  };
  void run(Recorded& recorded, const std::function<void()>& verbs);

  const EngineConfig& config_;
  const ShardPlan& shard_;
  Backend& backend_;
  StageTimes& times_;
  std::vector<int64_t> trunk_buckets_, head_buckets_;
  std::future<Weights> loading_;  // while what stands before weights_ is made
  DeviceBuffer rope_;
  ActivationBuffers activations_;
  KvPool kv_;
  StepBuffers buffers_;
  Weights weights_;
  Decoder decoder_;
  std::vector<DeviceBuffer> results_;  // staging, taken in turn
  size_t next_results_ = 0;
  std::map<int64_t, Recorded> trunk_graphs_;                     // by bucket
  std::map<std::pair<int64_t, int64_t>, Recorded> head_graphs_;  // by first row and bucket
  int64_t graphs_ = 0, graph_bytes_ = 0;                         // recorded so far
};

}  // namespace penstock
