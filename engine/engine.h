// One replica of the model: its ranks, a scheduler, and a thread that steps them. Sequences in, finished sequences out.
// The fleet (engine/fleet.h) is what the app sees.
#pragma once
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/engine_config.h"
#include "engine/model/model_config.h"
#include "engine/model/safetensors_file.h"
#include "engine/schedule/dispatcher.h"
#include "engine/schedule/scheduler.h"
#include "engine/stage_timer.h"
#include "engine/step/memory_plan.h"
#include "engine/step/rank_group.h"
#include "engine/step/run_account.h"
#include "engine/step/step_series.h"

namespace penstock {

struct BucketStats {
  int64_t bucket = 0;  // tokens
  int64_t steps = 0;
  double seconds = 0;
  int64_t padding_tokens = 0;  // of steps x bucket
};

struct EngineStats {
  SchedulerStats scheduler;
  std::vector<BucketStats> buckets;               // ascending, used ones only
  int64_t prefill_tokens = 0, decode_tokens = 0;  // computed
  // Steps that hold any prefill, and steps that only decode: all their tokens, and their whole time.
  int64_t prefill_step_tokens = 0, decode_step_tokens = 0;
  double prefill_step_seconds = 0, decode_step_seconds = 0;
  double loop_seconds = 0;  // of the engine thread while it had work
  int64_t graphs = 0;       // recorded
  int64_t graph_bytes = 0;  // of the device, by them
  // Monotonic: when the first step with wanted logits was done. 0: not yet.
  double first_token_at = 0;
  RunAccount account;  // of rank 0
  StepSeries series;   // from the start of the engine thread

  EngineStats& operator+=(const EngineStats& other);  // of another replica, that began at the same time
};

class Engine {
 public:
  struct Events {
    std::function<void()>
        finished;                   // take_finished or failure has something new; called with a lock held: to wake only
    std::function<void()> stepped;  // by the engine thread after each step; may be empty
  };

  // Plans the memory of the config's replica `replica`, and takes none yet (rank_group.h). `model`, `files` (null
  // with config.random_weights) and `draft` (may be null) outlive the engine.
  // Errors: Error(bad_model); Error(no_device) with the memory plan when it does not fit.
  Engine(const ModelConfig& model, const EngineConfig& config, int32_t replica, const SafetensorsFolder* files,
         StageTimes& times, const DraftModel* draft, Events events);
  // Stops at the next step; unfinished sequences are dropped. Not to be called once failure() is there: a rank may
  // never return.
  ~Engine();

  void load();   // the weights: the first step could run. Errors: as the readers of files say; Error(no_device)
  void start();  // the engine thread; after load

  // Any thread.
  void add(std::vector<SequenceInput> inputs);
  std::vector<SequenceOutput> take_finished();  // since the last call
  std::exception_ptr failure() const;           // what ended the engine: a rank's error, or DeviceFault
  // Sequences that never ran are dropped; take_finished gives them with FinishReason::none.
  void stop_admission();

  const MemoryPlan& memory_plan() const;
  EngineStats stats() const;     // any time
  ReplicaLoad load_now() const;  // as of the last step, and what was added since
  // How long ago the first step of each sequence was that has begun and not ended, as of the last step.
  std::vector<double> running_seconds() const;

  // Of rank 0's device, once nothing runs any more; waits for that. One thread at a time, no add() meanwhile.
  // Errors: Error(no_device) when there is no memory left to measure with; what ended the engine.
  Roofline measure_roofline();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace penstock
