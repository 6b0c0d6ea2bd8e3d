#include "engine/step/memory_plan.h"

#include <algorithm>
#include <cstdio>

#include "engine/model/activations.h"
#include "engine/model/rope_table.h"
#include "engine/model/weights.h"
#include "engine/step/graph_buckets.h"
#include "engine/step/kv_pool.h"
#include "engine/step/slot_buffers.h"

namespace penstock {
namespace {

// On the CPU memory is shared with everything else, so the pool stays modest unless --kv-blocks says otherwise.
constexpr int64_t kCpuPoolBytes = int64_t{2} << 30;

// What a step does not shrink below by itself.
constexpr int32_t kFewestSequences = 64, kFewestTokens = 512;

// Decoder::trunk and ::head, with every norm that a family may have, and what several ranks add.
constexpr int64_t kTrunkVerbs = 1, kLayerVerbs = 12, kHeadVerbs = 12;
// What a layer has more in halves: most verbs a second time, and of four sums two meetings and the copies each.
constexpr int64_t kHalvedVerbs = 10 + 4 * (2 + Communicator::kMostBeginners - 1);

int64_t ceil_divide(int64_t a, int64_t b) { return (a + b - 1) / b; }

int64_t pool_budget(const MemoryPlan& plan, const EngineConfig& config) {
  int64_t left = plan.available_bytes - plan.total_bytes();
  if (config.device != DeviceKind::cpu) return left;
  return std::min(left, std::min(kCpuPoolBytes, plan.available_bytes / 4) / config.num_ranks());
}

// Of the device that has most of them. A GPU is named more than once in tests only.
int64_t ranks_on_one_device(const EngineConfig& config) {
  if (config.device == DeviceKind::cpu) return config.num_ranks();
  int64_t most = 1;
  for (int device : config.devices)
    most = std::max<int64_t>(most, std::count(config.devices.begin(), config.devices.end(), device));
  return most;
}

// A step's own memory may take this share of what the weights leave.
bool steps_are_large(const MemoryPlan& plan) {
  constexpr int64_t kShare = 8;
  const int64_t weights = plan.weight_bytes + (plan.draft ? plan.draft->weight_bytes : 0);
  return plan.total_bytes() - weights > (plan.available_bytes - weights) / kShare;
}

// What does not depend on how large a step may be.
void plan_model(ModelMemory& memory, const ModelShare& share, int64_t max_context, const EngineConfig& config,
                const Backend& backend) {
  memory.max_context = static_cast<int32_t>(std::min(max_context, share.model.max_positions));
  memory.weight_bytes = weight_bytes(share.model, share.shard, backend);
  memory.rope_bytes = RopeLayout(share.model, memory.max_context).bytes();
  memory.kv_block_bytes = KvPool::block_bytes(share.model, share.shard, backend.kv_dtype(), config.block_size);
}

void plan_passes(ModelMemory& memory, const MemoryPlan& plan, const ModelShare& share, const EngineConfig& config,
                 const Backend& backend) {
  memory.activation_bytes = ActivationBuffers::bytes(share.model, share.shard, backend.activation_dtype(),
                                                     {plan.max_step_tokens, plan.head_rows, config.halved_from()});
  if (!config.graphs) return;
  const std::vector<int64_t> sizes = graph_buckets(plan.max_step_tokens);
  const auto trunks = static_cast<int64_t>(sizes.size());
  const int64_t halved =
      std::count_if(sizes.begin(), sizes.end(), [&](int64_t n) { return n >= config.halved_from(); });
  const auto heads = static_cast<int64_t>(graph_buckets(plan.head_rows).size());
  memory.num_graphs = trunks + heads;
  memory.graph_bytes = trunks * backend.graph_bytes(kTrunkVerbs + share.model.layers * kLayerVerbs) +
                       halved * backend.graph_bytes(share.model.layers * kHalvedVerbs) +
                       heads * backend.graph_bytes(kHeadVerbs);
}

// What depends on how large a step may be.
void plan_steps(MemoryPlan& plan, int32_t max_batch, int32_t max_step_tokens, const ModelShare& target,
                const std::optional<ModelShare>& draft, const EngineConfig& config, const Backend& backend) {
  plan.max_batch = max_batch;
  plan.max_step_tokens = std::max(max_step_tokens, max_batch);
  plan.head_rows = head_rows_at_once(max_batch, config.speculation);
  plan_passes(plan, plan, target, config, backend);
  if (config.profile_ops) plan.num_graphs *= 2, plan.graph_bytes *= 2;  // with and without marks
  plan.step_bytes = StepBuffers::bytes(step_capacity(plan)) + SlotBuffers::bytes(plan.max_batch, plan.vocab);
  StepShape largest = largest_step(target.model, plan, target.shard);
  if (draft) {
    plan_passes(*plan.draft, plan, *draft, config, backend);
    plan.draft->step_bytes = StepBuffers::bytes(draft_capacity(plan));
    largest = larger(largest, largest_step(draft->model, plan, draft->shard));
  }
  plan.workspace_bytes = backend.workspace_bytes(largest);
}

}  // namespace

// A pass of the head reads its whole matrix: the rows of a sequence's drafts should not need many.
int64_t head_rows_at_once(int32_t max_batch, Speculation speculation) {
  constexpr int64_t kMost = 512;
  const int64_t each = speculation == Speculation::off ? 1 : 1 + kMaxDrafts;
  return bucket_for(graph_buckets(kMost), std::min(max_batch * each, kMost));
}

MemoryPlan plan_memory(const ModelConfig& model, const EngineConfig& config, const ShardPlan& shard,
                       const Backend& backend, const std::optional<ModelShare>& draft) {
  const ModelShare target{model, shard};
  MemoryPlan plan;
  plan.block_size = config.block_size;
  plan.vocab = model.vocab;
  plan.available_bytes = backend.memory_bytes() / ranks_on_one_device(config);
  if (config.device != DeviceKind::cpu)
    plan.available_bytes = static_cast<int64_t>(static_cast<double>(plan.available_bytes) * config.gpu_memory_fraction);
  plan_model(plan, target, config.max_context ? config.max_context : model.max_positions, config, backend);
  if (draft) plan_model(plan.draft.emplace(), *draft, plan.max_context, config, backend);

  plan_steps(plan, config.max_batch, config.max_step_tokens, target, draft, config, backend);
  while (steps_are_large(plan)) {
    const bool fewer = config.fit_batch && plan.max_batch > kFewestSequences;
    const bool shorter = config.fit_step_tokens && plan.max_step_tokens > std::max(kFewestTokens, plan.max_batch);
    if (!fewer && !shorter) break;
    plan_steps(plan, plan.max_batch / (fewer ? 2 : 1), plan.max_step_tokens / (shorter ? 2 : 1), target, draft, config,
               backend);
  }

  int64_t blocks_of_one = ceil_divide(plan.max_context, config.block_size);
  int64_t affordable = pool_budget(plan, config) / plan.block_bytes();
  plan.kv_blocks =
      config.kv_blocks ? config.kv_blocks : std::clamp<int64_t>(blocks_of_one * plan.max_batch, 0, affordable);
  plan.kv_blocks = std::min<int64_t>(plan.kv_blocks, INT32_MAX / config.block_size);
  plan.kv_bytes = plan.kv_blocks * plan.kv_block_bytes;
  if (draft) plan.draft->kv_bytes = plan.kv_blocks * plan.draft->kv_block_bytes;
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
          .head_rows = plan.head_rows,
          .vocab = shard.vocab() * shard.ranks()};
}

StepShape larger(const StepShape& a, const StepShape& b) {
  return {.tokens = std::max(a.tokens, b.tokens),
          .rows = std::max(a.rows, b.rows),
          .heads = std::max(a.heads, b.heads),
          .kv_heads = std::max(a.kv_heads, b.kv_heads),
          .head_dim = std::max(a.head_dim, b.head_dim),
          .head_rows = std::max(a.head_rows, b.head_rows),
          .vocab = std::max(a.vocab, b.vocab)};
}

std::exception_ptr explained_by(std::exception_ptr error, const MemoryPlan& plan) {
  try {
    std::rethrow_exception(error);
  } catch (const DeviceFault&) {
    return error;  // a GPU that is gone
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
  return {.tokens = plan.max_step_tokens,
          .head_rows = plan.max_step_tokens + plan.head_rows,
          .rows = plan.max_batch,
          .table_entries = plan.max_batch * ceil_divide(plan.max_context, plan.block_size)};
}

// It draws at most one token a sequence in a pass.
StepCapacity draft_capacity(const MemoryPlan& plan) {
  return {.tokens = plan.max_step_tokens,
          .head_rows = plan.max_batch + plan.head_rows,
          .rows = plan.max_batch,
          .table_entries = plan.max_batch * ceil_divide(plan.draft->max_context, plan.block_size)};
}

std::string format_memory_plan(const MemoryPlan& plan) {
  std::string text;
  const auto line = [&](const std::string& name, int64_t bytes, const std::string& note) {
    char buffer[160];
    std::snprintf(buffer, sizeof buffer, "  %-17s %10.1f MiB  %s\n", name.c_str(),
                  static_cast<double>(bytes) / (1 << 20), note.c_str());
    text += buffer;
  };
  const auto model = [&](const std::string& whose, const ModelMemory& memory) {
    line(whose + "weights", memory.weight_bytes, "");
    line(whose + "rope table", memory.rope_bytes, std::to_string(memory.max_context) + " positions");
    line(whose + "activations", memory.activation_bytes, std::to_string(plan.max_step_tokens) + " tokens a step");
    line(whose + "step", memory.step_bytes, std::to_string(plan.max_batch) + " sequences");
    line(whose + "graphs", memory.graph_bytes, "reserved for " + std::to_string(memory.num_graphs));
    line(whose + "kv blocks", memory.kv_bytes,
         std::to_string(plan.kv_blocks) + " blocks of " + std::to_string(plan.block_size) + " tokens, " +
             std::to_string(memory.kv_block_bytes) + " bytes each");
  };
  model("", plan);
  if (plan.draft) model("draft ", *plan.draft);
  line("workspace", plan.workspace_bytes, "");
  line("total", plan.total_bytes(), "of " + std::to_string(plan.available_bytes >> 20) + " MiB available");
  line("left over", plan.left_over_bytes(), "");
  if (!plan.collectives.empty()) text += "  " + plan.collectives + "\n";
  return text;
}

}  // namespace penstock
