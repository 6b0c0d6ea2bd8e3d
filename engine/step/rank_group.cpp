#include "engine/step/rank_group.h"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <deque>
#include <exception>
#include <functional>
#include <mutex>
#include <optional>
#include <thread>

#include "engine/model/weights.h"
#include "kernels/communicator.h"

namespace penstock {
namespace {

// A queue whose reader sleeps; close() lets it run empty and then end.
template <class T>
class Channel {
 public:
  void push(T item) {
    {
      std::lock_guard lock(mutex_);
      items_.push_back(std::move(item));
    }
    changed_.notify_one();
  }
  bool pop(T& item) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return closed_ || !items_.empty(); });
    if (items_.empty()) return false;
    item = std::move(items_.front());
    items_.pop_front();
    return true;
  }
  void close() {
    {
      std::lock_guard lock(mutex_);
      closed_ = true;
    }
    changed_.notify_all();
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<T> items_;
  bool closed_ = false;
};

bool has_duplicates(std::vector<int> devices) {
  std::sort(devices.begin(), devices.end());
  return std::adjacent_find(devices.begin(), devices.end()) != devices.end();
}

}  // namespace

struct RankGroup::Impl {
  struct Rank {
    std::unique_ptr<Backend> backend;
    std::unique_ptr<ShardPlan> shard, draft_shard;
    std::unique_ptr<ModelRunner> runner;
    Channel<std::shared_ptr<const StepPlan>> plans;
    std::thread thread;
  };

  const EngineConfig config;
  MemoryPlan plan;
  std::unique_ptr<StepAccount> account;
  StageTimes& times;
  StageTimes other_times;                                    // of ranks other than 0, which the report leaves out
  std::vector<std::unique_ptr<Communicator>> communicators;  // outlive the ranks, whose graphs they are part of
  std::vector<Rank> ranks;
  Channel<ModelRunner::Step> started;  // by rank 0
  ModelRunner::Step last;              // that was waited for

  std::mutex failure_mutex;
  std::exception_ptr failure;  // the first

  Impl(const EngineConfig& c, StageTimes& t) : config(c), times(t), ranks(c.tensor_parallel) {}
  ~Impl() {
    for (Rank& rank : ranks) rank.plans.close();
    for (Rank& rank : ranks)
      if (rank.thread.joinable()) rank.thread.join();
  }

  int threads_of(int rank) const {
    int n = config.tensor_parallel;
    return std::max(1, config.threads * (rank + 1) / n - config.threads * rank / n);
  }

  // Of a rank, once there is a plan.
  void fail(std::exception_ptr error) {
    {
      std::lock_guard lock(failure_mutex);
      if (failure) return;
      failure = explained_by(error, plan);
    }
    for (auto& communicator : communicators) communicator->abort();
    started.close();
  }
  void rethrow_failure() {
    std::lock_guard lock(failure_mutex);
    if (failure) std::rethrow_exception(failure);
  }

  // Calls f(rank) for each rank on a thread of its own; rethrows the first error.
  void on_all(std::function<void(int)> f) {
    {
      std::vector<std::jthread> threads;
      for (int r = 0; r < config.tensor_parallel; ++r)
        threads.emplace_back([&, r] {
          try {
            f(r);
          } catch (...) {
            fail(std::current_exception());
          }
        });
    }
    rethrow_failure();
  }

  void serve(int r) {
    try {
      std::shared_ptr<const StepPlan> step;
      while (ranks[r].plans.pop(step)) {
        ModelRunner::Step one = ranks[r].runner->start(*step);
        if (r == 0) started.push(std::move(one));
      }
    } catch (...) {
      fail(std::current_exception());
    }
  }
};

RankGroup::RankGroup(const ModelConfig& model, const EngineConfig& config, const SafetensorsFolder* files,
                     StageTimes& times, const DraftModel* draft)
    : impl_(std::make_unique<Impl>(config, times)) {
  Impl& group = *impl_;
  std::vector<ProfilingBackend*> profilers;  // rank 0's times are the report's
  {
    StageTimer timer(times, Stage::plan_memory);
    for (int r = 0; r < config.tensor_parallel; ++r) {
      group.ranks[r].shard = std::make_unique<ShardPlan>(model, r, config.tensor_parallel);
      if (draft)
        group.ranks[r].draft_shard =
            std::make_unique<ShardPlan>(draft_shard_plan(draft->model, r, config.tensor_parallel));
      group.ranks[r].backend = make_backend({.device = config.device,
                                             .index = config.devices.empty() ? r : config.devices[r],
                                             .dtype = config.dtype,
                                             .threads = group.threads_of(r),
                                             .kernels = config.kernels,
                                             .poison_memory = config.poison_memory});
    }
    std::vector<Backend*> backends;
    for (const Impl::Rank& rank : group.ranks) backends.push_back(rank.backend.get());
    group.communicators = make_communicators(
        backends, {.allow_slow = config.allow_slow_tensor_parallel, .shares_gpus = has_duplicates(config.devices)});
    for (Impl::Rank& rank : group.ranks) {
      if (!config.profile_ops) break;
      auto profiling = std::make_unique<ProfilingBackend>(std::move(rank.backend));
      profilers.push_back(profiling.get());
      rank.backend = std::move(profiling);
    }
    if (files) check_weights(*files, model, *group.ranks[0].shard);
    std::optional<ModelShare> draft_share;
    if (draft) draft_share.emplace(draft->model, *group.ranks[0].draft_shard);
    if (draft && draft->files) check_weights(*draft->files, draft->model, draft_share->shard);
    group.plan = plan_memory(model, group.config, *group.ranks[0].shard, *group.ranks[0].backend, draft_share);
    group.plan.collectives = group.communicators[0]->description();
    group.account =
        std::make_unique<StepAccount>(model, *group.ranks[0].shard, *group.ranks[0].backend, group.plan.head_rows);
  }
  group.on_all([&](int r) {
    Impl::Rank& rank = group.ranks[r];
    std::optional<DraftShare> draft_share;
    if (draft) draft_share.emplace(draft->model, *rank.draft_shard, draft->files, draft->num_ids);
    rank.runner = std::make_unique<ModelRunner>(model, group.config, group.plan, *rank.shard, files,
                                                group.threads_of(r), *rank.backend, *group.communicators[r],
                                                r == 0 ? times : group.other_times, draft_share);
  });
  for (size_t r = 0; r < profilers.size(); ++r) group.ranks[r].runner->time_ops(*profilers[r]);
  for (int r = 0; r < config.tensor_parallel; ++r) group.ranks[r].thread = std::thread([&group, r] { group.serve(r); });
}

RankGroup::~RankGroup() = default;

const MemoryPlan& RankGroup::memory_plan() const { return impl_->plan; }

const StepAccount& RankGroup::account() const { return *impl_->account; }

Roofline RankGroup::measure_roofline() { return impl_->ranks[0].backend->measure_roofline(); }

void RankGroup::submit(StepPlan plan) {
  auto shared = std::make_shared<const StepPlan>(std::move(plan));
  for (auto& rank : impl_->ranks) rank.plans.push(shared);
}

RankGroup::Done RankGroup::wait() {
  Done one;
  ModelRunner::Step step;
  if (!impl_->started.pop(step)) impl_->rethrow_failure();
  one.result = ModelRunner::finish(step, one.timing);
  impl_->rethrow_failure();  // ranks that were told to stop waiting leave anything behind
  if (impl_->last.end) one.timing.idle_seconds = step.first_moment().seconds_since(*impl_->last.end);
  one.result.idle_seconds = one.timing.idle_seconds;
  one.result.recorded = one.timing.recorded;
  impl_->last = std::move(step);
  return one;
}

}  // namespace penstock
