#include "engine/fleet.h"

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <thread>

#include "engine/model/weights.h"
#include "engine/schedule/dispatcher.h"

namespace penstock {
namespace {

std::unique_ptr<SafetensorsFolder> open_weights(const std::string& folder, const EngineConfig& config) {
  return config.random_weights ? nullptr : std::make_unique<SafetensorsFolder>(folder);
}

ModelConfig with_checkpoint_dtype(ModelConfig model, const SafetensorsFolder* files) {
  if (files) model.checkpoint_dtype = checkpoint_dtype(*files);
  return model;
}

// The model that drafts, with its files open.
struct OpenDraft {
  OpenDraft(const DraftFolder& folder, const EngineConfig& config)
      : files(open_weights(folder.path, config)),
        model{with_checkpoint_dtype(folder.model, files.get()), files.get(), folder.num_ids} {}

  std::unique_ptr<SafetensorsFolder> files;
  DraftModel model;
};

std::unique_ptr<OpenDraft> open_draft(const std::optional<DraftFolder>& folder, const EngineConfig& config) {
  return folder ? std::make_unique<OpenDraft>(*folder, config) : nullptr;
}

}  // namespace

struct Fleet::Impl {
  const std::unique_ptr<SafetensorsFolder> files;
  const ModelConfig model;
  const std::unique_ptr<OpenDraft> draft;  // null: none
  const Layout layout;
  const EngineConfig config;
  std::optional<Dispatcher> dispatcher;

  std::mutex mutex;  // guards the dispatcher and what follows; taken before an engine's own, never after it
  std::vector<SequenceOutput> dropped;
  std::exception_ptr failure;  // that take_finished knows of
  bool closing = false;

  std::mutex wake_mutex;  // guards what follows; taken last
  std::condition_variable woken;
  uint64_t wakes = 0;
  std::function<void()> notify = [] {};

  std::vector<std::unique_ptr<Engine>> engines;  // not changed while they run

  Impl(const ModelFolder& folder, const ModelConfig& m, const EngineConfig& c, StageTimes& times,
       const std::optional<DraftFolder>& d)
      : files(open_weights(folder.path, c)),
        model(with_checkpoint_dtype(m, files.get())),
        draft(open_draft(d, c)),
        layout(choose_layout(model, c, draft ? &draft->model.model : nullptr)),
        config(with_layout(c, layout)) {
    Engine::Events events{.finished = [this] { wake(); }, .stepped = {}};
    if (config.replicas > 1) events.stepped = [this] { dispatch(); };
    for (int32_t r = 0; r < config.replicas; ++r)
      engines.push_back(
          std::make_unique<Engine>(model, config, r, files.get(), times, draft ? &draft->model : nullptr, events));
    dispatcher.emplace(engines[0]->memory_plan().max_batch, engines[0]->memory_plan().max_step_tokens);
    load();
    for (auto& engine : engines) engine->start();
  }

  // Nobody is given anything more, and those who have not failed stop. Whether that was all.
  bool close() {
    {
      std::lock_guard lock(mutex);
      closing = true;
    }
    for (auto& engine : engines)
      if (!engine->failure()) engine.reset();
    return std::all_of(engines.begin(), engines.end(), [](const auto& engine) { return !engine; });
  }

  void load() {
    std::vector<std::exception_ptr> errors(engines.size());
    {
      std::vector<std::jthread> threads;
      for (size_t r = 0; r < engines.size(); ++r)
        threads.emplace_back([&, r] {
          try {
            engines[r]->load();
          } catch (...) {
            errors[r] = std::current_exception();
          }
        });
    }
    for (const std::exception_ptr& error : errors)
      if (error) std::rethrow_exception(error);
  }

  void wake() {
    std::lock_guard lock(wake_mutex);
    ++wakes;
    woken.notify_all();
    notify();
  }

  // Gives the replicas what they have room for.
  void dispatch() {
    std::lock_guard lock(mutex);
    if (closing) return;
    std::vector<ReplicaLoad> loads;
    for (const auto& engine : engines) loads.push_back(engine->load_now());
    while (auto share = dispatcher->next(loads)) engines[share->replica]->add(std::move(share->sequences));
  }

  std::vector<SequenceOutput> collect() {
    std::lock_guard lock(mutex);
    if (failure) std::rethrow_exception(failure);
    std::vector<SequenceOutput> outputs = std::exchange(dropped, {});
    for (auto& engine : engines)
      for (SequenceOutput& output : engine->take_finished()) outputs.push_back(std::move(output));
    for (auto& engine : engines)
      if (!failure) failure = engine->failure();
    if (outputs.empty() && failure) std::rethrow_exception(failure);
    return outputs;
  }
};

Fleet::Fleet(const ModelFolder& folder, const ModelConfig& model, const EngineConfig& config, StageTimes& times,
             const std::optional<DraftFolder>& draft)
    : impl_(std::make_unique<Impl>(folder, model, config, times, draft)) {}

Fleet::~Fleet() {
  if (!impl_->close()) static_cast<void>(impl_.release());
}

void Fleet::add(std::vector<SequenceInput> inputs) {
  {
    std::lock_guard lock(impl_->mutex);
    impl_->dispatcher->add(std::move(inputs));
  }
  impl_->dispatch();
}

void Fleet::add(SequenceInput input) {
  std::vector<SequenceInput> one;
  one.push_back(std::move(input));
  add(std::move(one));
}

std::vector<SequenceOutput> Fleet::take_finished(std::chrono::milliseconds timeout) {
  const auto end = std::chrono::steady_clock::now() + timeout;
  while (true) {
    std::unique_lock lock(impl_->wake_mutex);
    const uint64_t seen = impl_->wakes;
    lock.unlock();
    std::vector<SequenceOutput> outputs = impl_->collect();
    if (!outputs.empty()) return outputs;
    lock.lock();
    if (!impl_->woken.wait_until(lock, end, [&] { return impl_->wakes != seen; })) return outputs;
  }
}

void Fleet::on_finished(std::function<void()> notify) {
  std::lock_guard lock(impl_->wake_mutex);
  impl_->notify = std::move(notify);
}

void Fleet::stop_admission() {
  {
    std::lock_guard lock(impl_->mutex);
    for (uint64_t tag : impl_->dispatcher->drop_all()) impl_->dropped.emplace_back().tag = tag;
  }
  for (auto& engine : impl_->engines) engine->stop_admission();
  impl_->wake();
}

const EngineConfig& Fleet::config() const { return impl_->config; }
const Layout& Fleet::layout() const { return impl_->layout; }
const MemoryPlan& Fleet::memory_plan() const { return impl_->engines.front()->memory_plan(); }

bool Fleet::failed() const {
  for (const auto& engine : impl_->engines)
    if (engine->failure()) return true;
  return false;
}

std::vector<EngineStats> Fleet::replica_stats() const {
  std::vector<EngineStats> all;
  for (const auto& engine : impl_->engines) all.push_back(engine->stats());
  return all;
}

EngineStats Fleet::stats() const {
  std::vector<EngineStats> all = replica_stats();
  for (size_t r = 1; r < all.size(); ++r) all[0] += all[r];
  return all[0];
}

std::vector<int64_t> Fleet::replica_blocks() const {
  std::vector<int64_t> all;
  for (const auto& engine : impl_->engines) all.push_back(engine->memory_plan().kv_blocks);
  return all;
}

std::vector<double> Fleet::running_seconds() const {
  std::vector<double> all;
  for (const auto& engine : impl_->engines)
    for (double seconds : engine->running_seconds()) all.push_back(seconds);
  return all;
}

Roofline Fleet::measure_roofline() { return impl_->engines.front()->measure_roofline(); }

}  // namespace penstock
