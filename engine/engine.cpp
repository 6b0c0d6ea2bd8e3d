#include "engine/engine.h"

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <exception>
#include <functional>
#include <future>
#include <map>
#include <mutex>
#include <thread>

#include "engine/model/rope_table.h"
#include "engine/model/weights.h"
#include "engine/step/rank_group.h"

namespace penstock {
namespace {

std::unique_ptr<SafetensorsFolder> open_weights(const std::string& folder, const EngineConfig& config) {
  return config.random_weights ? nullptr : std::make_unique<SafetensorsFolder>(folder);
}

ModelConfig with_checkpoint_dtype(ModelConfig model, const SafetensorsFolder* files) {
  if (files) model.checkpoint_dtype = checkpoint_dtype(*files);
  return model;
}

SchedulerConfig scheduler_config(const ModelConfig& model, const EngineConfig& config, const MemoryPlan& plan) {
  const RopeLayout rope(model, plan.max_context);
  const std::optional<ModelMemory>& draft = plan.draft;
  return {.max_batch = plan.max_batch,
          .max_step_tokens = plan.max_step_tokens,
          .max_head_rows = plan.max_step_tokens,
          .block_size = plan.block_size,
          .num_blocks = static_cast<int32_t>(plan.kv_blocks),
          .max_context = plan.max_context,
          .long_rope_from = static_cast<int32_t>(rope.long_from),
          .long_rope_begin = static_cast<int32_t>(rope.long_begin),
          .prefix_cache = config.prefix_cache,
          .speculation = config.speculation,
          .fixed_drafts = config.fixed_drafts,
          .draft_context = draft ? draft->max_context : 0,
          .draft_step_tokens = draft ? plan.max_step_tokens : 0,
          .draft_share = draft ? static_cast<double>(draft->weight_bytes) / static_cast<double>(plan.weight_bytes) : 0};
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

struct Engine::Impl {
  const EngineConfig config;
  StageTimes& times;
  std::unique_ptr<SafetensorsFolder> files;
  const ModelConfig model;
  const std::unique_ptr<OpenDraft> draft;  // null: none
  RankGroup ranks;
  Scheduler scheduler;  // engine thread only
  std::function<void()> notify = [] {};

  std::mutex mutex;  // guards what follows
  std::condition_variable inbox_changed, outbox_changed;
  std::deque<SequenceInput> inbox;
  std::vector<SequenceOutput> outbox;
  EngineStats stats;
  std::vector<double> running_seconds;
  std::exception_ptr failure;
  bool stopping_admission = false, closing = false;
  std::optional<std::promise<Roofline>> roofline_wanted;

  std::thread thread;

  Impl(const ModelFolder& folder, const ModelConfig& m, const EngineConfig& c, StageTimes& t,
       const std::optional<DraftFolder>& d)
      : config(c),
        times(t),
        files(open_weights(folder.path, c)),
        model(with_checkpoint_dtype(m, files.get())),
        draft(open_draft(d, c)),
        ranks(model, config, files.get(), times, draft ? &draft->model : nullptr),
        scheduler(scheduler_config(model, config, ranks.memory_plan())) {
    thread = std::thread([this] { loop(); });
  }
  ~Impl() {
    {
      std::lock_guard lock(mutex);
      closing = true;
    }
    inbox_changed.notify_all();
    thread.join();
  }

  void loop() {
    try {
      int in_flight = 0;
      for (double start; take_inbox(in_flight > 0, start);) {
        if (in_flight == 0 && measure_roofline()) continue;
        while (in_flight < config.steps_in_flight && plan_and_submit()) ++in_flight;
        if (in_flight > 0) {
          commit(ranks.wait());
          --in_flight;
        }
        publish(monotonic_seconds() - start);
      }
      for (; in_flight > 0; --in_flight) ranks.wait();
    } catch (...) {
      std::lock_guard lock(mutex);
      failure = std::current_exception();
      if (roofline_wanted) roofline_wanted->set_exception(failure);
      outbox_changed.notify_all();
      notify();
    }
  }

  // Moves what came in to the scheduler; sleeps when there is nothing to do. False once the engine closes. `start`:
  // when there was work again.
  bool take_inbox(bool busy, double& start) {
    std::unique_lock lock(mutex);
    const auto woken = [&] { return closing || !inbox.empty() || stopping_admission || roofline_wanted; };
    if (!busy && scheduler.idle() && !woken()) {
      slept = true;
      inbox_changed.wait(lock, woken);
    }
    start = monotonic_seconds();
    if (closing) return false;
    StageTimer timer(times, Stage::schedule);
    for (; !inbox.empty(); inbox.pop_front()) scheduler.add(std::move(inbox.front()));
    if (stopping_admission) {
      stopping_admission = false;
      for (uint64_t tag : scheduler.stop_admission()) outbox.emplace_back().tag = tag;
      outbox_changed.notify_all();
      notify();
    }
    return true;
  }

  // False when nobody asked, or while there is work.
  bool measure_roofline() {
    std::promise<Roofline> answer;
    {
      std::lock_guard lock(mutex);
      if (!roofline_wanted || !scheduler.idle()) return false;
      answer = std::move(*roofline_wanted);
      roofline_wanted.reset();
    }
    try {
      answer.set_value(ranks.measure_roofline());
    } catch (const Error&) {
      answer.set_exception(std::current_exception());
    }
    return true;
  }

  bool plan_and_submit() {
    StageTimer timer(times, Stage::schedule);
    StepPlan plan = scheduler.plan();
    if (plan.empty()) return false;
    planned.push_back({plan.num_tokens(), plan.num_prefill_tokens, static_cast<int64_t>(plan.head.size()),
                       static_cast<int64_t>(plan.rows.size()), plan.num_drafts(), ranks.account().work_of(plan),
                       std::exchange(slept, false)});
    ranks.submit(std::move(plan));
    return true;
  }

  void commit(RankGroup::Done done) {
    const PlannedStep step = planned.front();
    planned.pop_front();
    // A step that mixes both is divided by its tokens.
    const double prefill_share = static_cast<double>(step.prefill_tokens) / static_cast<double>(step.tokens);
    const double trunk = done.timing.seconds - done.timing.head_seconds;
    if (step.prefill_tokens) times.add(Stage::prefill, trunk * prefill_share);
    if (step.prefill_tokens < step.tokens) times.add(Stage::decode, trunk * (1 - prefill_share));
    times.add(Stage::sample, done.timing.head_seconds);
    if (done.timing.draft_seconds > 0) times.add(Stage::draft, done.timing.draft_seconds);
    {
      std::lock_guard lock(mutex);
      BucketStats& bucket = buckets[done.timing.bucket];
      bucket.bucket = done.timing.bucket;
      ++bucket.steps;
      bucket.seconds += done.timing.seconds;
      bucket.padding_tokens += done.timing.bucket - step.tokens;
      stats.prefill_tokens += step.prefill_tokens;
      stats.decode_tokens += step.tokens - step.prefill_tokens;
      (step.prefill_tokens ? stats.prefill_step_tokens : stats.decode_step_tokens) += step.tokens;
      (step.prefill_tokens ? stats.prefill_step_seconds : stats.decode_step_seconds) += done.timing.seconds;
      stats.graphs = done.timing.graphs;
      stats.graph_bytes = done.timing.graph_bytes;
      if (stats.first_token_at == 0 && !done.result.head.empty()) stats.first_token_at = monotonic_seconds();
      stats.account.add(step, done.timing);
      add_to_series(step, done.timing.seconds, done.result.num_rejected());
    }
    StageTimer timer(times, Stage::schedule);
    scheduler.commit(done.result);
  }

  void publish(double loop_seconds) {
    std::vector<SequenceOutput> finished = scheduler.take_finished();
    std::vector<double> ages = scheduler.running_seconds();
    std::lock_guard lock(mutex);
    stats.loop_seconds += loop_seconds;
    stats.scheduler = scheduler.stats();
    running_seconds = std::move(ages);
    if (finished.empty()) return;
    for (SequenceOutput& output : finished) outbox.push_back(std::move(output));
    outbox_changed.notify_all();
    notify();
  }

  std::deque<PlannedStep> planned;         // of the steps in flight; engine thread only
  bool slept = false;                      // since the last step was planned; engine thread only
  std::map<int64_t, BucketStats> buckets;  // guarded by mutex
  const double began = monotonic_seconds();

  // Under the mutex.
  void add_to_series(const PlannedStep& step, double seconds, int64_t rejected) {
    const double end = monotonic_seconds() - began;
    stats.series.add({.begin = std::max(stats.series.seconds(), end - seconds),
                      .end = end,
                      .prefill_tokens = step.prefill_tokens,
                      .decode_tokens = step.tokens - step.prefill_tokens,
                      .drafts = step.drafts,
                      .accepted_drafts = step.drafts - rejected,
                      .sequences = step.sequences,
                      .kv_blocks = scheduler.used_blocks()});
  }
};

Engine::Engine(const ModelFolder& folder, const ModelConfig& model, const EngineConfig& config, StageTimes& times,
               const std::optional<DraftFolder>& draft)
    : impl_(std::make_unique<Impl>(folder, model, config, times, draft)) {}
Engine::~Engine() = default;

void Engine::add(SequenceInput input) {
  {
    std::lock_guard lock(impl_->mutex);
    impl_->inbox.push_back(std::move(input));
  }
  impl_->inbox_changed.notify_all();
}

std::vector<SequenceOutput> Engine::take_finished(std::chrono::milliseconds timeout) {
  std::unique_lock lock(impl_->mutex);
  impl_->outbox_changed.wait_for(lock, timeout, [&] { return impl_->failure || !impl_->outbox.empty(); });
  if (impl_->outbox.empty() && impl_->failure) std::rethrow_exception(impl_->failure);
  return std::exchange(impl_->outbox, {});
}

void Engine::on_finished(std::function<void()> notify) {
  std::lock_guard lock(impl_->mutex);
  impl_->notify = std::move(notify);
}

void Engine::stop_admission() {
  {
    std::lock_guard lock(impl_->mutex);
    impl_->stopping_admission = true;
  }
  impl_->inbox_changed.notify_all();
}

Roofline Engine::measure_roofline() {
  std::future<Roofline> answer;
  {
    std::lock_guard lock(impl_->mutex);
    if (impl_->failure) std::rethrow_exception(impl_->failure);
    answer = impl_->roofline_wanted.emplace().get_future();
  }
  impl_->inbox_changed.notify_all();
  return answer.get();
}

const MemoryPlan& Engine::memory_plan() const { return impl_->ranks.memory_plan(); }

std::vector<double> Engine::running_seconds() const {
  std::lock_guard lock(impl_->mutex);
  return impl_->running_seconds;
}

EngineStats Engine::stats() const {
  std::lock_guard lock(impl_->mutex);
  EngineStats stats = impl_->stats;
  for (const auto& [bucket, counts] : impl_->buckets) stats.buckets.push_back(counts);
  return stats;
}

}  // namespace penstock
