#include "engine/engine.h"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <exception>
#include <functional>
#include <future>
#include <map>
#include <mutex>
#include <thread>

#include "engine/model/rope_table.h"
#include "engine/step/rank_group.h"

namespace penstock {
namespace {

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

}  // namespace

struct Engine::Impl {
  const EngineConfig config;
  StageTimes& times;
  const Events events;
  RankGroup ranks;
  Scheduler scheduler;  // engine thread only

  std::mutex mutex;  // guards what follows
  std::condition_variable inbox_changed;
  std::deque<SequenceInput> inbox;
  ReplicaLoad load;
  std::vector<SequenceOutput> outbox;
  EngineStats stats;
  std::vector<double> running_seconds;
  std::exception_ptr failure;
  bool stopping_admission = false, closing = false;
  std::optional<std::promise<Roofline>> roofline_wanted;

  std::thread thread;

  Impl(const ModelConfig& model, const EngineConfig& c, int32_t replica, const SafetensorsFolder* files, StageTimes& t,
       const DraftModel* draft, Events e)
      : config(c),
        times(t),
        events(std::move(e)),
        ranks(model, config, replica, files, times, draft),
        scheduler(scheduler_config(model, config, ranks.memory_plan())) {}
  ~Impl() {
    {
      std::lock_guard lock(mutex);
      closing = true;
    }
    inbox_changed.notify_all();
    if (thread.joinable()) thread.join();
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
      fail(std::current_exception());
    }
  }

  // Any thread: the engine's own may be held up for ever.
  void fail(std::exception_ptr error) {
    std::lock_guard lock(mutex);
    if (failure) return;
    failure = error;
    events.finished();
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
      events.finished();
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
    {
      std::lock_guard lock(mutex);
      stats.loop_seconds += loop_seconds;
      stats.scheduler = scheduler.stats();
      running_seconds = std::move(ages);
      load = {.running = scheduler.num_running(), .waiting = scheduler.num_waiting()};
      for (const SequenceInput& input : inbox) load.add(input);
      for (SequenceOutput& output : finished) outbox.push_back(std::move(output));
      if (!finished.empty()) events.finished();
    }
    if (events.stepped) events.stepped();
  }

  std::deque<PlannedStep> planned;         // of the steps in flight; engine thread only
  bool slept = false;                      // since the last step was planned; engine thread only
  std::map<int64_t, BucketStats> buckets;  // guarded by mutex
  double began = 0;                        // monotonic

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

Engine::Engine(const ModelConfig& model, const EngineConfig& config, int32_t replica, const SafetensorsFolder* files,
               StageTimes& times, const DraftModel* draft, Events events)
    : impl_(std::make_unique<Impl>(model, config, replica, files, times, draft, std::move(events))) {}
Engine::~Engine() = default;

void Engine::load() {
  impl_->ranks.load([impl = impl_.get()](std::exception_ptr error) { impl->fail(error); });
}

void Engine::start() {
  impl_->began = monotonic_seconds();
  impl_->thread = std::thread([impl = impl_.get()] { impl->loop(); });
}

void Engine::add(std::vector<SequenceInput> inputs) {
  {
    std::lock_guard lock(impl_->mutex);
    for (SequenceInput& input : inputs) {
      impl_->load.add(input);
      impl_->inbox.push_back(std::move(input));
    }
  }
  impl_->inbox_changed.notify_all();
}

std::vector<SequenceOutput> Engine::take_finished() {
  std::lock_guard lock(impl_->mutex);
  return std::exchange(impl_->outbox, {});
}

std::exception_ptr Engine::failure() const {
  std::lock_guard lock(impl_->mutex);
  return impl_->failure;
}

ReplicaLoad Engine::load_now() const {
  std::lock_guard lock(impl_->mutex);
  return impl_->load;
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
    answer = impl_->roofline_wanted.emplace().get_future();
  }
  impl_->inbox_changed.notify_all();
  while (answer.wait_for(std::chrono::milliseconds(20)) != std::future_status::ready)
    if (const std::exception_ptr error = failure()) std::rethrow_exception(error);
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
