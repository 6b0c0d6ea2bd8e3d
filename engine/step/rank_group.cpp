#include "engine/step/rank_group.h"

#include <algorithm>
#include <exception>
#include <functional>
#include <limits>
#include <optional>
#include <thread>

#include "engine/model/weights.h"
#include "engine/step/channel.h"
#include "engine/step/fault_hooks.h"
#include "engine/step/group_fault.h"
#include "engine/step/rank_name.h"
#include "engine/step/watchdog.h"
#include "kernels/communicator.h"

namespace penstock {
namespace {

// On the CPU a rank computes while it starts a step. On a GPU it records graphs and times algorithms, which takes
// seconds; in the first steps the driver may compile kernels too, and that takes minutes of CPU time.
Pulse pulse_of_rank(DeviceKind device) {
  if (device == DeviceKind::cpu) return Pulse(std::numeric_limits<double>::infinity());
  return Pulse(4 * silence_limit(), 8);
}

// Sets a pulse for its own scope.
class Watched {
 public:
  explicit Watched(Pulse& pulse) : pulse_(pulse) { pulse_.begin(); }
  ~Watched() { pulse_.end(); }
  Watched(const Watched&) = delete;

 private:
  Pulse& pulse_;
};

bool has_duplicates(std::vector<int> devices) {
  std::sort(devices.begin(), devices.end());
  return std::adjacent_find(devices.begin(), devices.end()) != devices.end();
}

}  // namespace

struct RankGroup::Impl {
  struct Rank {
    explicit Rank(DeviceKind device) : starting(pulse_of_rank(device)) {}
    std::unique_ptr<Backend> backend;
    std::unique_ptr<ShardPlan> shard, draft_shard;
    std::unique_ptr<ModelRunner> runner;
    Channel<std::shared_ptr<const StepPlan>> plans;
    Pulse starting;  // a step
    std::thread thread;
  };

  const ModelConfig& model;
  const EngineConfig config;
  const int32_t replica;
  const SafetensorsFolder* files;
  const DraftModel* draft;  // null: none
  MemoryPlan plan;
  std::unique_ptr<StepAccount> account;
  StageTimes& times;
  StageTimes other_times;                                    // of ranks other than 0, which the report leaves out
  std::vector<std::unique_ptr<Communicator>> communicators;  // outlive the ranks, whose graphs they are part of
  std::vector<std::unique_ptr<Rank>> ranks;
  std::vector<ProfilingBackend*> profilers;  // of all ranks or none; rank 0's times are the report's
  Channel<ModelRunner::Step> started;        // by rank 0
  ModelRunner::Step last;                    // that was waited for
  Pulse waiting;                             // for rank 0's device

  GroupFault fault{[this] {
    for (auto& communicator : communicators) communicator->abort();
  }};
  std::unique_ptr<Watchdog> watchdog;

  Impl(const ModelConfig& m, const EngineConfig& c, int32_t which, const SafetensorsFolder* f, StageTimes& t,
       const DraftModel* d)
      : model(m), config(c), replica(which), files(f), draft(d), times(t) {
    for (int r = 0; r < c.tensor_parallel; ++r) ranks.push_back(std::make_unique<Rank>(c.device));
  }
  ~Impl() {
    for (auto& rank : ranks) rank->plans.close();
    for (auto& rank : ranks)
      if (rank->thread.joinable()) rank->thread.join();
  }

  std::string name(int r) const { return rank_name(config, replica, r); }

  int threads_of(int rank) const {
    const int n = config.num_ranks(), place = replica * config.tensor_parallel + rank;
    return std::max(1, config.threads * (place + 1) / n - config.threads * place / n);
  }

  void make_communicators() {
    std::vector<Backend*> backends;
    for (const auto& rank : ranks) backends.push_back(rank->backend.get());
    communicators = penstock::make_communicators(
        backends, {.allow_slow = config.allow_slow_tensor_parallel, .shares_gpus = has_duplicates(config.devices)});
  }

  void profile() {
    for (auto& rank : ranks) {
      auto profiling = std::make_unique<ProfilingBackend>(std::move(rank->backend));
      profilers.push_back(profiling.get());
      rank->backend = std::move(profiling);
    }
  }

  // Of a rank, once there is a plan.
  void fail(std::exception_ptr error) { fault.report(explained_by(error, plan)); }

  void watch() {
    std::vector<const Pulse*> pulses = {&waiting};
    for (auto& rank : ranks) pulses.push_back(&rank->starting);
    watchdog = std::make_unique<Watchdog>(pulses, silence_limit(), [this] {
      const bool in_start = std::any_of(ranks.begin(), ranks.end(), [](auto& rank) { return rank->starting.busy(); });
      fault.report_silence(silence_limit(), [this, in_start] { return silent_ranks(in_start); });
    });
  }
  // In a device's part of a step no rank can be told from the others.
  std::string silent_ranks(bool in_start) const {
    std::string names;
    for (int r = 0; r < config.tensor_parallel; ++r)
      if (!in_start || ranks[r]->starting.busy()) names += (names.empty() ? "" : ", ") + name(r);
    return names;
  }

  // Calls f(rank) for each rank on a thread of its own; rethrows the first error.
  void on_all(std::function<void(int)> f) {
    {
      std::vector<std::jthread> threads;
      for (int r = 0; r < config.tensor_parallel; ++r)
        threads.emplace_back([&, r] {
          try {
            f(r);
          } catch (const DeviceFault&) {
            fail(named(std::current_exception(), name(r)));
          } catch (...) {
            fail(std::current_exception());
          }
        });
    }
    fault.rethrow();
  }

  void serve(int r) {
    try {
      std::shared_ptr<const StepPlan> step;
      while (ranks[r]->plans.pop(step)) {
        const Watched watched(ranks[r]->starting);
        before_step(replica, r, step->id);
        ModelRunner::Step one = ranks[r]->runner->start(*step);
        if (r == 0) started.push(std::move(one));
      }
    } catch (...) {
      fail(named(std::current_exception(), name(r)));
    }
  }
};

RankGroup::RankGroup(const ModelConfig& model, const EngineConfig& config, int32_t replica,
                     const SafetensorsFolder* files, StageTimes& times, const DraftModel* draft)
    : impl_(std::make_unique<Impl>(model, config, replica, files, times, draft)) {
  Impl& group = *impl_;
  StageTimer timer(times, Stage::plan_memory);
  for (int r = 0; r < config.tensor_parallel; ++r) {
    group.ranks[r]->shard = std::make_unique<ShardPlan>(model, r, config.tensor_parallel);
    if (draft)
      group.ranks[r]->draft_shard =
          std::make_unique<ShardPlan>(draft_shard_plan(draft->model, r, config.tensor_parallel));
    group.ranks[r]->backend = make_backend({.device = config.device,
                                            .index = config.device_of(replica, r),
                                            .dtype = config.dtype,
                                            .threads = group.threads_of(r),
                                            .kernels = config.kernels,
                                            .poison_memory = config.poison_memory});
  }
  group.make_communicators();
  if (config.profile_ops) group.profile();
  Impl::Rank& first = *group.ranks[0];
  if (files) check_weights(*files, model, *first.shard);
  std::optional<ModelShare> draft_share;
  if (draft) draft_share.emplace(draft->model, *first.draft_shard);
  if (draft && draft->files) check_weights(*draft->files, draft->model, draft_share->shard);
  // All ranks have the same plan, so it is that of the one with the least memory.
  const auto& poorest = *std::min_element(group.ranks.begin(), group.ranks.end(), [](const auto& a, const auto& b) {
    return a->backend->memory_bytes() < b->backend->memory_bytes();
  });
  group.plan = plan_memory(model, group.config, *first.shard, *poorest->backend, draft_share);
  group.plan.collectives = group.communicators[0]->description();
  const int64_t halved = halved_from(config, *group.communicators[0]);
  if (halved <= group.plan.max_step_tokens)
    group.plan.collectives += "; beside products in steps of " + std::to_string(halved) + " tokens or more";
  group.account = std::make_unique<StepAccount>(model, *first.shard, *first.backend, group.plan.head_rows);
}

RankGroup::~RankGroup() = default;

void RankGroup::load(std::function<void(std::exception_ptr)> on_failure) {
  Impl& group = *impl_;
  group.fault.on_fault([&group, told = std::move(on_failure)](std::exception_ptr fault) {
    group.started.close();
    told(fault);
  });
  group.on_all([&](int r) {
    Impl::Rank& rank = *group.ranks[r];
    std::optional<DraftShare> draft_share;
    if (const DraftModel* draft = group.draft)
      draft_share.emplace(draft->model, *rank.draft_shard, draft->files, draft->num_ids);
    rank.runner = std::make_unique<ModelRunner>(group.model, group.config, group.plan, *rank.shard, group.files,
                                                group.threads_of(r), *rank.backend, *group.communicators[r],
                                                r == 0 ? group.times : group.other_times, draft_share);
  });
  for (size_t r = 0; r < group.profilers.size(); ++r) group.ranks[r]->runner->time_ops(*group.profilers[r]);
  for (size_t r = 0; r < group.ranks.size(); ++r)
    group.ranks[r]->thread = std::thread([&group, r] { group.serve(static_cast<int>(r)); });
  group.watch();
}

const MemoryPlan& RankGroup::memory_plan() const { return impl_->plan; }

const StepAccount& RankGroup::account() const { return *impl_->account; }

Roofline RankGroup::measure_roofline() {
  const Watched watched(impl_->waiting);
  return impl_->ranks[0]->backend->measure_roofline();
}

void RankGroup::submit(StepPlan plan) {
  auto shared = std::make_shared<const StepPlan>(std::move(plan));
  for (auto& rank : impl_->ranks) rank->plans.push(shared);
}

RankGroup::Done RankGroup::wait() {
  Done one;
  ModelRunner::Step step;
  if (!impl_->started.pop(step)) impl_->fault.rethrow();
  try {
    const Watched watched(impl_->waiting);
    one.result = ModelRunner::finish(step, one.timing);
    if (impl_->last.end) one.timing.idle_seconds = step.first_moment().seconds_since(*impl_->last.end);
    one.result.idle_seconds = one.timing.idle_seconds;
  } catch (...) {
    impl_->fail(named(std::current_exception(), impl_->name(0)));
  }
  impl_->fault.rethrow();
  impl_->last = std::move(step);
  return one;
}

}  // namespace penstock
