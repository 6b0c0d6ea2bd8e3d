#include "engine/step/layout.h"

#include <algorithm>

#include "engine/model/shard_plan.h"
#include "engine/step/memory_plan.h"

namespace penstock {
namespace {

std::string count_of(int32_t number, const char* what) {
  return std::to_string(number) + " " + what + (number == 1 ? "" : "s");
}

[[noreturn]] void refuse(int32_t tensor_parallel, int32_t replicas, int32_t devices) {
  throw Error(ExitCode::usage, "--tensor-parallel " + std::to_string(tensor_parallel) + " and --replicas " +
                                   std::to_string(replicas) + " want " + count_of(tensor_parallel * replicas, "GPU") +
                                   ", and there " + (devices == 1 ? "is 1" : "are " + std::to_string(devices)) +
                                   ": name them by --devices");
}

// Whether a replica of so many ranks has the memory, or why not.
std::optional<std::string> misfit_of(const ModelConfig& model, const ModelConfig* draft, EngineConfig config,
                                     int32_t ranks, const Backend& backend) {
  config.tensor_parallel = ranks;
  config.replicas = static_cast<int32_t>(config.devices.size()) / ranks;
  try {
    std::optional<ShardPlan> draft_shard;
    std::optional<ModelShare> draft_share;
    if (draft) draft_share.emplace(*draft, draft_shard.emplace(draft_shard_plan(*draft, 0, ranks)));
    const MemoryPlan plan = plan_memory(model, config, ShardPlan(model, 0, ranks), backend, draft_share);
    const int64_t wanted = std::min(plan.max_context, plan.max_step_tokens);
    if (config.kv_blocks || plan.kv_blocks * plan.block_size >= wanted) return std::nullopt;
    return "too little is left for the KV blocks:\n" + format_memory_plan(plan);
  } catch (const Error& error) {
    if (error.code() != ExitCode::no_device && error.code() != ExitCode::bad_model) throw;
    return error.what();
  }
}

}  // namespace

void divide_devices(EngineConfig& config, std::optional<int32_t> tensor_parallel, std::optional<int32_t> replicas) {
  const auto devices = static_cast<int32_t>(config.devices.size());
  if (config.device == DeviceKind::cpu || devices == 0) {  // that there is no GPU is for make_backend to say
    config.tensor_parallel = tensor_parallel.value_or(1);
    config.replicas = replicas.value_or(1);
    return;
  }
  if (!tensor_parallel && !replicas && devices > 1) {
    config.tensor_parallel = config.replicas = 0;
    return;
  }
  const auto rest = [devices](int32_t given) { return std::max(1, devices / given); };
  config.tensor_parallel = tensor_parallel.value_or(replicas ? rest(*replicas) : 1);
  config.replicas = replicas.value_or(rest(config.tensor_parallel));
  if (config.num_ranks() != devices) refuse(config.tensor_parallel, config.replicas, devices);
}

Layout smallest_layout(int32_t devices, const FitsRanks& misfit) {
  std::string why, too_few;
  for (int32_t ranks = 1; ranks <= devices; ++ranks) {
    if (devices % ranks != 0) continue;
    const std::optional<std::string> reason = misfit(ranks);
    if (!reason) {
      why = ranks == 1 ? "the model fits one GPU" : "the model fits " + count_of(ranks, "GPU") + ", and no fewer";
      return {ranks, devices / ranks, why};
    }
    too_few = count_of(ranks, "GPU") + ": " + *reason;
  }
  throw Error(ExitCode::no_device, "no way to divide " + count_of(devices, "GPU") + " fits the model; " + too_few);
}

Layout choose_layout(const ModelConfig& model, const EngineConfig& config, const ModelConfig* draft) {
  Layout layout{config.tensor_parallel, config.replicas, ""};
  if (config.device == DeviceKind::cpu) return layout;
  if (config.tensor_parallel > 0) {
    layout.why = config.num_ranks() == 1 ? "there is one GPU" : "as the flags say";
    return layout;
  }
  const auto backend = make_backend(
      {.device = config.device, .index = config.devices.front(), .dtype = config.dtype, .kernels = config.kernels});
  return smallest_layout(static_cast<int32_t>(config.devices.size()),
                         [&](int32_t ranks) { return misfit_of(model, draft, config, ranks, *backend); });
}

EngineConfig with_layout(EngineConfig config, const Layout& layout) {
  config.tensor_parallel = layout.tensor_parallel;
  config.replicas = layout.replicas;
  return config;
}

}  // namespace penstock
