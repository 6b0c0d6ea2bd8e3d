#include "engine/step/memory_plan.h"

#include <algorithm>
#include <cstdio>

#include "engine/model/activations.h"
#include "engine/model/rope_table.h"
#include "engine/model/weights.h"
#include "engine/step/graph_buckets.h"
#include "engine/step/kv_pool.h"

namespace penstock {
namespace {

// On the CPU memory is shared with everything else, so the pool stays modest unless --kv-blocks says otherwise.
constexpr int64_t kCpuPoolBytes = int64_t{2} << 30;

int64_t ceil_divide(int64_t a, int64_t b) { return (a + b - 1) / b; }

int64_t pool_budget(const MemoryPlan& plan, const EngineConfig& config) {
  int64_t left = plan.available_bytes - plan.total_bytes();
  if (config.device != DeviceKind::cpu) return left;
  return std::min(left, std::min(kCpuPoolBytes, plan.available_bytes / 4) / config.tensor_parallel);
}

}  // namespace

int64_t head_rows_at_once(int32_t max_batch) {
  constexpr int64_t kMost = 512;
  return bucket_for(graph_buckets(kMost), std::min<int64_t>(max_batch, kMost));
}

MemoryPlan plan_memory(const ModelConfig& model, const EngineConfig& config, const ShardPlan& shard,
                       const Backend& backend) {
  MemoryPlan plan;
  plan.block_size = config.block_size;
  plan.max_batch = config.max_batch;
  plan.vocab = model.vocab;
  plan.max_step_tokens = std::max(config.max_step_tokens, config.max_batch);
  plan.max_context = static_cast<int32_t>(
      config.max_context ? std::min<int64_t>(config.max_context, model.max_positions) : model.max_positions);
  plan.available_bytes = backend.memory_bytes() / (config.device == DeviceKind::cpu ? config.tensor_parallel : 1);
  if (config.device != DeviceKind::cpu)
    plan.available_bytes = static_cast<int64_t>(static_cast<double>(plan.available_bytes) * config.gpu_memory_fraction);
  plan.weight_bytes = weight_bytes(model, shard, backend);
  plan.rope_bytes = RopeLayout(model, plan.max_context).bytes();
  plan.activation_bytes = ActivationBuffers::bytes(model, shard, backend.activation_dtype(), plan.max_step_tokens,
                                                   head_rows_at_once(plan.max_batch));
  plan.step_bytes = StepBuffers::bytes(step_capacity(plan));
  plan.kv_block_bytes = KvPool::block_bytes(model, shard, backend.kv_dtype(), config.block_size);

  int64_t blocks_of_one = ceil_divide(plan.max_context, config.block_size);
  int64_t affordable = pool_budget(plan, config) / plan.kv_block_bytes;
  plan.kv_blocks =
      config.kv_blocks ? config.kv_blocks : std::clamp<int64_t>(blocks_of_one * config.max_batch, 0, affordable);
  plan.kv_blocks = std::min<int64_t>(plan.kv_blocks, INT32_MAX / config.block_size);
  plan.kv_bytes = plan.kv_blocks * plan.kv_block_bytes;
  if (plan.kv_blocks < 1 || plan.total_bytes() > plan.available_bytes)
    throw Error(ExitCode::no_device,
                "the model does not fit into the memory of the device:\n" + format_memory_plan(plan));
  return plan;
}

StepCapacity step_capacity(const MemoryPlan& plan) {
  int64_t blocks_of_one = ceil_divide(plan.max_context, plan.block_size);
  return {.tokens = plan.max_step_tokens,
          .head_rows = plan.max_step_tokens + head_rows_at_once(plan.max_batch),
          .rows = plan.max_batch,
          .table_entries = plan.max_batch * blocks_of_one,
          .vocab = plan.vocab};
}

std::string format_memory_plan(const MemoryPlan& plan) {
  std::string text;
  auto line = [&](const char* name, int64_t bytes, const std::string& note) {
    char buffer[160];
    std::snprintf(buffer, sizeof buffer, "  %-12s %10.1f MiB  %s\n", name, static_cast<double>(bytes) / (1 << 20),
                  note.c_str());
    text += buffer;
  };
  line("weights", plan.weight_bytes, "");
  line("rope table", plan.rope_bytes, std::to_string(plan.max_context) + " positions");
  line("activations", plan.activation_bytes, std::to_string(plan.max_step_tokens) + " tokens a step");
  line("step", plan.step_bytes, std::to_string(plan.max_batch) + " sequences");
  line("kv blocks", plan.kv_bytes,
       std::to_string(plan.kv_blocks) + " blocks of " + std::to_string(plan.block_size) + " tokens, " +
           std::to_string(plan.kv_block_bytes) + " bytes each");
  line("total", plan.total_bytes(), "of " + std::to_string(plan.available_bytes >> 20) + " MiB available");
  return text;
}

}  // namespace penstock
