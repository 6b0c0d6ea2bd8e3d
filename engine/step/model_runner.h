// Runs steps on one rank: the model's weights, its KV and its graphs.
#pragma once
#include <compare>
#include <future>
#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "engine/engine_config.h"
#include "engine/model/decoder.h"
#include "engine/model/safetensors_file.h"
#include "engine/stage_timer.h"
#include "engine/step/kv_pool.h"
#include "engine/step/memory_plan.h"
#include "engine/step/profiling_backend.h"
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
    double idle_seconds = 0;  // of the device before it: since the step before, if there was one
    int64_t head_bucket = 0;  // rows of all passes of the head, padding included
    int64_t graphs = 0;       // recorded so far
    int64_t graph_bytes = 0;  // of the device, by those
    bool recorded = false;    // graphs, before the step began
    std::optional<OpTimes> ops;
  };

  // A step that was started. Not to outlive its runner.
  struct Step {
    uint64_t id = 0;
    int64_t bucket = 0, wanted = 0, head_bucket = 0, graphs = 0, graph_bytes = 0;
    bool wants_top = false, recorded = false, timed = false;
    std::unique_ptr<Moment> begin, head_begin, end, downloaded;
    std::vector<std::shared_ptr<const OpMarks>> marks;  // of a timed step
    const char* results = nullptr;  // [wanted] HeadResult, then TopLogprob: staging memory that a later step will use
  };

  // Enqueues the plan. At most config.steps_in_flight steps may be started and not finished.
  Step start(const StepPlan& plan);
  // Waits for the step; from any thread. Rank 0's result holds one entry for each wanted row.
  static StepResult finish(const Step& step, Timing& timing);
  StepResult run(const StepPlan& plan, Timing& timing) { return finish(start(plan), timing); }

  Decoder& decoder() { return decoder_; }

  // `profiler` is the backend of the constructor. From now on the first of a bucket's steps, and then one in
  // kTimedEvery, have their ops timed.
  void time_ops(ProfilingBackend& profiler);

 private:
  void copy_blocks(const StepPlan& plan);
  void prepare_slots(const StepPlan& plan);
  void download_results(const StepPlan& plan, Step& step);
  int64_t padded_head_rows(int64_t wanted) const;
  bool wants_op_times(int64_t bucket);

  // A step is replayed in parts: the trunk, and the head's passes from row `first` on.
  struct Part {
    static constexpr int64_t kTrunk = -1;
    int64_t first, bucket;
    bool timed;
    auto operator<=>(const Part&) const = default;
  };
  struct RecordedPart {
    int64_t uses = 0;  // without a graph
    std::unique_ptr<Graph> graph;
    std::shared_ptr<OpMarks> marks;  // of timed ones
  };
  std::vector<Part> parts_of(const Step& step) const;
  void compute(const Part& part);
  void record_used_before(const std::vector<Part>& parts, Step& step);
  void run(const Part& part, Step& step);

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
  std::map<Part, RecordedPart> recorded_;
  int64_t graphs_ = 0, graph_bytes_ = 0;

  static constexpr int64_t kTimedEvery = 16;
  ProfilingBackend* profiler_ = nullptr;
  std::map<int64_t, int64_t> until_timed_;  // steps of each bucket before the next that is
  int64_t since_timed_ = kTimedEvery;       // steps of any; at first, enough
};

}  // namespace penstock
