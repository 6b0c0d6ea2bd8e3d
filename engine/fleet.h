// All replicas of the model behind one queue: sequences in, finished sequences out. What the app sees of the engine.
#pragma once
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/engine.h"
#include "engine/model/model_folder.h"
#include "engine/step/layout.h"

namespace penstock {

// A model that drafts for another.
struct DraftFolder {
  std::string path;
  ModelConfig model;
  int64_t num_ids = 0;  // of the tokenizer that both have; 0: there is none. Others are padding, never drafted
};

class Fleet {
 public:
  // Divides the devices, plans their memory, loads the weights of all replicas in parallel and starts their engines;
  // returns when the first step could run.
  // `model` decides the shape; with config.random_weights the folders need no weight files.
  // Errors: Error(bad_model), Error(not_found), Error(io) as the readers say; Error(no_device) with the memory plan
  // when it does not fit.
  Fleet(const ModelFolder& folder, const ModelConfig& model, const EngineConfig& config, StageTimes& times,
        const std::optional<DraftFolder>& draft = {});
  // The engines stop at their next step; unfinished sequences are dropped. One that has failed is left behind, threads
  // and memory, since a rank may never return.
  ~Fleet();

  // Any thread. Sequences of one line together, so that those with equal beginnings go to the same replica.
  void add(std::vector<SequenceInput> inputs);
  void add(SequenceInput input);
  // Sequences that have ended since the last call; waits up to `timeout` for the first. Once a replica has failed, what
  // had ended before comes first; then each call throws what ended it. The others go on, for nobody.
  std::vector<SequenceOutput> take_finished(std::chrono::milliseconds timeout);
  // Called, on any thread, after something was put where take_finished finds it, or a replica failed. Set before the
  // first add. For main loops that sleep in poll().
  void on_finished(std::function<void()> notify);
  // Sequences that never ran are dropped; take_finished gives them with FinishReason::none.
  void stop_admission();

  const EngineConfig& config() const;  // with the layout
  const Layout& layout() const;
  const MemoryPlan& memory_plan() const;  // of replica 0
  bool failed() const;                    // any thread, any time, as those below

  EngineStats stats() const;                       // of all together
  std::vector<EngineStats> replica_stats() const;  // of each
  std::vector<int64_t> replica_blocks() const;     // of each one's KV pool
  std::vector<double> running_seconds() const;     // as Engine's, of all

  // As Engine's, of replica 0: all have the same kind of device.
  Roofline measure_roofline();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace penstock
