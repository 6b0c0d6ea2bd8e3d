#include "app/engine_loader.h"

#include <atomic>
#include <exception>
#include <mutex>
#include <thread>

#include "app/signals.h"

namespace penstock {

struct EngineLoader::State {
  std::mutex mutex;
  bool done = false, abandoned = false;
  std::unique_ptr<Fleet> fleet;
  std::exception_ptr failure;
  double load_seconds = 0;
  std::thread thread;
};

EngineLoader::EngineLoader(const ModelFolder& folder, const ModelConfig& model, const EngineConfig& config,
                           std::shared_ptr<StageTimes> times, const std::optional<DraftFolder>& draft,
                           std::function<void()> notify)
    : state_(std::make_shared<State>()) {
  // The thread owns all that it touches: it may outlive this object.
  state_->thread =
      std::thread([state = state_, folder, model, config, times = std::move(times), draft, notify = std::move(notify)] {
        block_stop_signals();
        const double start = monotonic_seconds();
        std::unique_ptr<Fleet> fleet;
        std::exception_ptr failure;
        try {
          fleet = std::make_unique<Fleet>(folder, model, config, *times, draft);
          fleet->on_finished(notify);
        } catch (...) {
          failure = std::current_exception();
        }
        const std::lock_guard lock(state->mutex);
        if (state->abandoned) return;
        state->fleet = std::move(fleet);
        state->failure = failure;
        state->load_seconds = monotonic_seconds() - start;
        state->done = true;
        notify();
      });
}

EngineLoader::~EngineLoader() {
  std::unique_lock lock(state_->mutex);
  if (!state_->done) {
    state_->abandoned = true;
    state_->thread.detach();
    return;
  }
  lock.unlock();
  state_->thread.join();
  state_->fleet.reset();
}

Fleet* EngineLoader::get() {
  const std::lock_guard lock(state_->mutex);
  if (state_->failure) std::rethrow_exception(state_->failure);
  return state_->fleet.get();
}

bool EngineLoader::failed() const {
  const std::lock_guard lock(state_->mutex);
  return state_->fleet && state_->fleet->failed();
}

double EngineLoader::load_seconds() const {
  const std::lock_guard lock(state_->mutex);
  return state_->load_seconds;
}

}  // namespace penstock
