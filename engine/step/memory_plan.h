// How a device's memory is divided, decided before anything large is allocated (design.md §5). Bytes are of one rank.
#pragma once
#include <cstdint>
#include <exception>
#include <optional>
#include <string>

#include "engine/engine_config.h"
#include "engine/model/model_config.h"
#include "engine/model/shard_plan.h"
#include "engine/step/step_buffers.h"
#include "kernels/backend.h"

namespace penstock {

// What one model takes.
struct ModelMemory {
  int64_t weight_bytes = 0;
  int64_t rope_bytes = 0;        // table of cos and sin
  int64_t activation_bytes = 0;  // of max_step_tokens, and the head's rows
  int64_t step_bytes = 0;        // uploaded step buffers, results, and (of the first model) the state of slots
  int64_t graph_bytes = 0;       // reserved: graphs are captured when a step first needs them
  int64_t num_graphs = 0;        // of one each bucket
  int64_t kv_bytes = 0;          // of all layers
  int64_t kv_block_bytes = 0;    // of one block in all layers
  int32_t max_context = 0;       // tokens

  int64_t sum() const { return weight_bytes + rope_bytes + activation_bytes + step_bytes + graph_bytes + kv_bytes; }
};

struct MemoryPlan : ModelMemory {
  int64_t available_bytes = 0;  // what the device could give (x gpu_memory_fraction on CUDA)
  int64_t workspace_bytes = 0;  // scratch memory of the verbs
  int64_t kv_blocks = 0;        // of each model's pool: a block table is for both
  int32_t block_size = 0;
  int32_t max_batch = 0;
  int32_t max_step_tokens = 0;
  int64_t head_rows = 0;  // of logits that exist at once
  int64_t vocab = 0;
  std::optional<ModelMemory> draft;  // of the draft model
  std::string collectives;           // how ranks sum, for people; empty where there is nothing to tell

  // Of one block in every layer of both models.
  int64_t block_bytes() const { return kv_block_bytes + (draft ? draft->kv_block_bytes : 0); }
  int64_t total_bytes() const { return sum() + workspace_bytes + (draft ? draft->sum() : 0); }
  int64_t left_over_bytes() const { return available_bytes - total_bytes(); }
};

// A model and a rank's share of it.
struct ModelShare {
  const ModelConfig& model;
  const ShardPlan& shard;
};

// Divides what `backend` can give now, by the ranks of config that share its device. With config.fit_batch, and
// fit_step_tokens, a step shrinks until what it needs leaves room for the pool. Errors: Error(no_device) with the plan
// that did not fit.
MemoryPlan plan_memory(const ModelConfig& model, const EngineConfig& config, const ShardPlan& shard,
                       const Backend& backend, const std::optional<ModelShare>& draft = {});

// The step buffers that the plan pays for, and how many rows of logits exist at once.
StepCapacity step_capacity(const MemoryPlan& plan);
StepCapacity draft_capacity(const MemoryPlan& plan);  // of the draft model
int64_t head_rows_at_once(int32_t max_batch, Speculation speculation);
StepShape largest_step(const ModelConfig& model, const MemoryPlan& plan, const ShardPlan& shard);
StepShape larger(const StepShape& a, const StepShape& b);  // in each dimension

// The plan as a small table for people.
std::string format_memory_plan(const MemoryPlan& plan);

// `error`, with the plan in its message when it is Error(no_device): memory ran out although the plan fitted, because
// somebody else took some, or an estimate was too low.
std::exception_ptr explained_by(std::exception_ptr error, const MemoryPlan& plan);

}  // namespace penstock
