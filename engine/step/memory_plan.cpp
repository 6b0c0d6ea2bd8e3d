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

// What a step does not shrink below by itself.
constexpr int32_t kFewestSequences = 64, kFewestTokens = 512;

// Decoder::trunk and ::head, with every norm that a family may have.
constexpr int64_t kTrunkVerbs = 1, kLayerVerbs = 12, kHeadVerbs = 6;

int64_t ceil_divide(int64_t a, int64_t b) { return (a + b - 1) / b; }

int64_t pool_budget(const MemoryPlan& plan, const EngineConfig& config) {
  int64_t left = plan.available_bytes - plan.total_bytes();
  if (config.device != DeviceKind::cpu) return left;
  return std::min(left, std::min(kCpuPoolBytes, plan.available_bytes / 4) / config.tensor_parallel);
}

// A step's own memory may take this share of what the weights leave.
bool steps_are_large(const MemoryPlan& plan) {
  constexpr int64_t kShare = 8;
  return plan.total_bytes() - plan.weight_bytes > (plan.available_bytes - plan.weight_bytes) / kShare;
}

// What depends on how large a step may be.
void plan_steps(MemoryPlan& plan, int32_t max_batch, int32_t max_step_tokens, const ModelConfig& model,
                const EngineConfig& config, const ShardPlan& shard, const Backend& backend) {
  plan.max_batch = max_batch;
  plan.max_step_tokens = std::max(max_step_tokens, max_batch);
  const int64_t head_rows = head_rows_at_once(max_batch);
  plan.activation_bytes =
      ActivationBuffers::bytes(model, shard, backend.activation_dtype(), plan.max_step_tokens, head_rows);
  plan.step_bytes = StepBuffers::bytes(step_capacity(plan));
  plan.workspace_bytes = backend.workspace_bytes(largest_step(model, plan, shard));
  if (!config.graphs) return;
  const auto trunks = static_cast<int64_t>(graph_buckets(plan.max_step_tokens).size());
  const auto heads = static_cast<int64_t>(graph_buckets(head_rows).size());
  plan.num_graphs = trunks + heads;
  plan.graph_bytes =
      trunks * backend.graph_bytes(kTrunkVerbs + model.layers * kLayerVerbs) + heads * backend.graph_bytes(kHeadVerbs);
  if (config.profile_ops) plan.num_graphs *= 2, plan.graph_bytes *= 2;  // with and without marks
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
  plan.vocab = model.vocab;
  plan.max_context = static_cast<int32_t>(
      config.max_context ? std::min<int64_t>(config.max_context, model.max_positions) : model.max_positions);
  plan.available_bytes = backend.memory_bytes() / (config.device == DeviceKind::cpu ? config.tensor_parallel : 1);
  if (config.device != DeviceKind::cpu)
    plan.available_bytes = static_cast<int64_t>(static_cast<double>(plan.available_bytes) * config.gpu_memory_fraction);
  plan.weight_bytes = weight_bytes(model, shard, backend);
  plan.rope_bytes = RopeLayout(model, plan.max_context).bytes();
  plan.kv_block_bytes = KvPool::block_bytes(model, shard, backend.kv_dtype(), config.block_size);

  plan_steps(plan, config.max_batch, config.max_step_tokens, model, config, shard, backend);
  while (steps_are_large(plan)) {
    const bool fewer = config.fit_batch && plan.max_batch > kFewestSequences;
    const bool shorter = config.fit_step_tokens && plan.max_step_tokens > std::max(kFewestTokens, plan.max_batch);
    if (!fewer && !shorter) break;
    plan_steps(plan, plan.max_batch / (fewer ? 2 : 1), plan.max_step_tokens / (shorter ? 2 : 1), model, config, shard,
               backend);
  }

  int64_t blocks_of_one = ceil_divide(plan.max_context, config.block_size);
  int64_t affordable = pool_budget(plan, config) / plan.kv_block_bytes;
  plan.kv_blocks =
      config.kv_blocks ? config.kv_blocks : std::clamp<int64_t>(blocks_of_one * plan.max_batch, 0, affordable);
  plan.kv_blocks = std::min<int64_t>(plan.kv_blocks, INT32_MAX / config.block_size);
  plan.kv_bytes = plan.kv_blocks * plan.kv_block_bytes;
  if (plan.kv_blocks < 1 || plan.left_over_bytes() < 0)
    throw Error(ExitCode::no_device,
                "the model does not fit into the memory of the device:\n" + format_memory_plan(plan));
  return plan;
}

StepShape largest_step(const ModelConfig& model, const MemoryPlan& plan, const ShardPlan& shard) {
  return {.tokens = plan.max_step_tokens,
          .rows = plan.max_batch,
          .heads = shard.heads(),
          .kv_heads = shard.kv_heads(),
          .head_dim = model.head_dim,
          .head_rows = head_rows_at_once(plan.max_batch),
          .vocab = shard.vocab() * shard.ranks()};
}

std::exception_ptr explained_by(std::exception_ptr error, const MemoryPlan& plan) {
  try {
    std::rethrow_exception(error);
  } catch (const Error& e) {
    if (e.code() != ExitCode::no_device) return error;
    return std::make_exception_ptr(
        Error(e.code(),
              std::string(e.what()) + "\nthe plan of its memory, which did not hold:\n" + format_memory_plan(plan)));
  } catch (...) {
    return error;
  }
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
  line("workspace", plan.workspace_bytes, "");
  line("graphs", plan.graph_bytes, "reserved for " + std::to_string(plan.num_graphs));
  line("kv blocks", plan.kv_bytes,
       std::to_string(plan.kv_blocks) + " blocks of " + std::to_string(plan.block_size) + " tokens, " +
           std::to_string(plan.kv_block_bytes) + " bytes each");
  line("total", plan.total_bytes(), "of " + std::to_string(plan.available_bytes >> 20) + " MiB available");
  line("left over", plan.left_over_bytes(), "");
  return text;
}

}  // namespace penstock
