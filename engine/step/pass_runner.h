// One model on one rank: its weights, its KV and its graphs. Runs a plan's rows through it, in parts that are replayed
// by bucket.
#pragma once
#include <compare>
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
#include "engine/step/profiling_backend.h"
#include "engine/step/slot_buffers.h"
#include "engine/step/step_buffers.h"

namespace penstock {

// From how many tokens on steps are computed in halves, with this communicator.
int64_t halved_from(const EngineConfig& config, const Communicator& communicator);

class PassRunner {
 public:
  // Where a rank's models run. All of it must outlive them.
  struct Place {
    const EngineConfig& config;
    const MemoryPlan& memory;
    int threads;
    Backend& backend;
    Communicator& communicator;
    StageTimes& times;
  };
  struct Model {
    const ModelConfig& config;
    const ShardPlan& shard;
    const SafetensorsFolder* files;  // may be null with EngineConfig::random_weights
    StepCapacity capacity;
    int64_t max_context;
    Drawing drawing;
    int passes;  // of a step
  };

  // Of a size, before its products are timed: that costs about 0.1 s and gains about 1 % (H200, 8B: 0 to 4 % of a step
  // of 6 ms).
  static constexpr int64_t kUsesBeforeTuning = 1000;

  // Reads the weights. The references must outlive the runner.
  PassRunner(const Model& model, const Place& place, const SlotBuffers& slots);

  struct Part {  // the trunk, or the head's rows from `first` on
    static constexpr int64_t kTrunk = -1;
    int64_t first, bucket;
    bool timed;
    auto operator<=>(const Part&) const = default;
  };
  struct Pass {
    int64_t bucket = 0, head_bucket = 0;  // tokens and wanted rows, padded
    bool timed = false, recorded = false;
    bool warming = false;     // a part runs for the first time, or has just been recorded: it takes longer than it will
    std::vector<Part> parts;  // the trunk first
    std::vector<std::shared_ptr<const OpMarks>> marks;  // of a timed pass
  };

  // Chooses the sizes, and records graphs for those that ran before, and again, tuned, for those that run often: of all
  // passes of a step before its clock starts, since the device may wait meanwhile.
  Pass prepare(const StepPlan& plan);
  // Then, on the stream:
  void copy_blocks(const StepPlan& plan);
  void upload(const StepPlan& plan, const Pass& pass) {
    buffers_.upload(plan, pass.bucket, pass.head_bucket, backend_);
  }
  void trunk(Pass& pass);
  void head(Pass& pass);
  void accept_drafts(const StepPlan& plan, Pass& pass);

  const HeadResult* results() const { return buffers_.results(); }
  const TopLogprob* top() const { return buffers_.top(); }
  int64_t graphs() const { return graphs_; }            // recorded so far
  int64_t graph_bytes() const { return graph_bytes_; }  // of the device, by those
  Decoder& decoder() { return decoder_; }

  // `profiler` is the backend; all ranks have one, or none. From now on the first of a bucket's passes, and then one in
  // kTimedEvery, have their ops timed.
  void time_ops(ProfilingBackend& profiler);

 private:
  struct RecordedPart {
    int64_t uses = 0;
    bool tuned = false;
    std::unique_ptr<Graph> graph;
    std::shared_ptr<OpMarks> marks;  // of timed ones
  };

  int64_t padded_head_rows(int64_t wanted) const;
  bool wants_tuning(const Part& part);
  bool wants_recording(const Part& part);
  bool wants_op_times(int64_t bucket);
  void compute(const Part& part, bool tuned);
  void record(const Part& part, RecordedPart& recorded);
  void run(const Part& part, Pass& pass);
  void run_eagerly(const Part& part, RecordedPart& recorded);
  void while_all_rest(const std::function<void()>& action);
  void run_first_at_rest(bool& has_run, const std::function<void()>& action);

  const EngineConfig& config_;
  Backend& backend_;
  Communicator& communicator_;
  StageTimes& times_;
  const SlotBuffers& slots_;
  std::vector<int64_t> trunk_buckets_, head_buckets_;
  std::future<Weights> loading_;  // while what stands before weights_ is made
  DeviceBuffer rope_;
  ActivationBuffers activations_;
  KvPool kv_;
  StepBuffers buffers_;
  Weights weights_;
  Decoder decoder_;
  std::map<Part, RecordedPart> recorded_;
  int64_t graphs_ = 0, graph_bytes_ = 0;
  bool has_copied_ = false, has_accepted_ = false;

  static constexpr int64_t kTimedEvery = 16;
  ProfilingBackend* profiler_ = nullptr;
  std::map<int64_t, int64_t> until_timed_;  // passes of each bucket before the next that is
  int64_t since_timed_ = kTimedEvery;       // passes of any; at first, enough
};

}  // namespace penstock
