// The fleet is loaded on a thread of its own while the first lines are read and tokenised.
#pragma once
#include <memory>
#include <optional>

#include "engine/fleet.h"

namespace penstock {

class EngineLoader {
 public:
  // Starts to load. `notify` is called (on any thread) once the fleet is there or has failed, and then whenever
  // sequences have finished; it must stay callable as long as the process lives.
  EngineLoader(const ModelFolder& folder, const ModelConfig& model, const EngineConfig& config,
               std::shared_ptr<StageTimes> times, const std::optional<DraftFolder>& draft,
               std::function<void()> notify);
  // Stops loaded engines at their next step. A fleet that is still loading is left behind: nobody waits for gigabytes
  // that are no longer wanted, and the process ends with _exit().
  ~EngineLoader();
  EngineLoader(const EngineLoader&) = delete;

  // Null while it loads. Rethrows why loading failed.
  Fleet* get();
  bool failed() const;          // of a loaded one, a replica
  double load_seconds() const;  // 0 while it loads

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace penstock
