// A rank's weights on its device, and the way they get there.
#pragma once
#include <memory>
#include <vector>

#include "engine/model/model_config.h"
#include "engine/model/safetensors_file.h"
#include "engine/model/shard_plan.h"
#include "kernels/backend.h"

namespace penstock {

// Norms and biases are f32 whatever the checkpoint's dtype, ModelConfig::norm_offset added. An absent optional weight
// is an empty buffer.
struct LayerWeights {
  DeviceBuffer input_norm;      // [hidden]
  Weight qkv;                   // [(heads + 2 kv_heads) head_dim / ranks, hidden]
  DeviceBuffer qkv_bias;        // [(heads + 2 kv_heads) head_dim / ranks]
  DeviceBuffer q_norm;          // [head_dim]
  DeviceBuffer k_norm;          // [head_dim]
  Weight output;                // [hidden, heads head_dim / ranks]
  DeviceBuffer output_bias;     // [hidden]; on rank 0 only: the ranks' parts are summed
  DeviceBuffer attention_norm;  // [hidden], after attention: with sandwich norms only
  DeviceBuffer mlp_norm;        // [hidden]
  Weight gate_up;               // [2 mlp / ranks, hidden]
  DeviceBuffer gate_up_bias;    // [2 mlp / ranks]
  Weight down;                  // [hidden, mlp / ranks]
  DeviceBuffer down_bias;       // [hidden]; on rank 0 only
  DeviceBuffer output_norm;     // [hidden], after the MLP: with sandwich norms only
};

struct Weights {
  Weight embedding;  // [vocab / ranks, hidden]
  std::vector<LayerWeights> layers;
  DeviceBuffer final_norm;  // [hidden]
  Weight lm_head;           // [vocab / ranks, hidden]; empty when tied
  bool tied = false;
  const Weight& head() const { return tied ? embedding : lm_head; }
};

// What the matrices of the checkpoint are: bf16 or f16 when all are, else f32. ModelConfig::checkpoint_dtype is set to
// it before memory is planned, so that nothing is rounded without being asked to.
DType checkpoint_dtype(const SafetensorsFolder& files);

// Bytes that load_weights will take on one rank's device.
int64_t weight_bytes(const ModelConfig& model, const ShardPlan& shard, const Backend& backend);

// Whether the files hold exactly the tensors that `model` calls for, with their shapes; once for all ranks, before
// memory is planned by shapes that may be absurd. Errors: Error(bad_model) naming the tensor; Error(io).
void check_weights(const SafetensorsFolder& files, const ModelConfig& model, const ShardPlan& shard);

// Reads this rank's cut of each tensor with `threads` threads; check_weights has found nothing wrong with the files.
// Errors: Error(bad_model) naming a tensor of another dtype; Error(io); Error(no_device).
Weights load_weights(const SafetensorsFolder& files, const ModelConfig& model, const ShardPlan& shard, Backend& backend,
                     int threads);

// The same shapes with values drawn from a fixed seed (matrices near N(0, 1/columns), norms 1), equal for every rank
// count.
Weights random_weights(const ModelConfig& model, const ShardPlan& shard, Backend& backend, int threads);

}  // namespace penstock
