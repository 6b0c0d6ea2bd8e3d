// The engine: a loaded model, a scheduler, and a thread that steps them. Sequences in, finished sequences out.
#pragma once
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/engine_config.h"
#include "engine/model/model_config.h"
#include "engine/model/model_folder.h"
#include "engine/schedule/scheduler.h"
#include "engine/stage_timer.h"
#include "engine/step/memory_plan.h"
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
};

// A model that drafts for another.
struct DraftFolder {
  std::string path;
  ModelConfig model;
  int64_t num_ids = 0;  // of the tokenizer that both have; 0: there is none. Others are padding, never drafted
};

class Engine {
 public:
  // Loads the weights and starts the engine thread; returns when the first step could run.
  // `model` decides the shape; with config.random_weights the folders need no weight files.
  // Errors: Error(bad_model), Error(not_found), Error(io) as the readers say; Error(no_device) with the memory plan
  // when it does not fit.
  Engine(const ModelFolder& folder, const ModelConfig& model, const EngineConfig& config, StageTimes& times,
         const std::optional<DraftFolder>& draft = {});
  ~Engine();  // stops at the next step; unfinished sequences are dropped

  // Any thread.
  void add(SequenceInput input);
  // Sequences that have ended since the last call; waits up to `timeout` for the first. Rethrows what ended the engine
  // thread (a rank that threw).
  std::vector<SequenceOutput> take_finished(std::chrono::milliseconds timeout);
  // Called by the engine thread after something was put where take_finished finds it (or the engine failed); set before
  // the first add. For main loops that sleep in poll().
  void on_finished(std::function<void()> notify);
  // Sequences that never ran are dropped; take_finished gives them with FinishReason::none.
  void stop_admission();

  const MemoryPlan& memory_plan() const;
  EngineStats stats() const;  // any thread, any time
  // How long ago the first step of each sequence was that has begun and not ended, as of the last step. Any thread.
  std::vector<double> running_seconds() const;

  // Of rank 0's device, once nothing runs any more; waits for that. One thread at a time, no add() meanwhile.
  // Errors: Error(no_device) when there is no memory left to measure with; what ended the engine thread.
  Roofline measure_roofline();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace penstock
