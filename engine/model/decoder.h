// The forward pass, once for every family, device and number of ranks. What a family has or lacks is in ModelConfig and
// in optional weights.
#pragma once
#include <functional>
#include <vector>

#include "engine/model/activations.h"
#include "engine/model/weights.h"
#include "kernels/communicator.h"

namespace penstock {

class Decoder {
 public:
  // Sees every intermediate tensor by name ("layers.3.attention"), after the verb that made it; for `penstock verify`.
  using Observer = std::function<void(const std::string& name, const Tensor& tensor)>;

  // All references must outlive the decoder. `rope`: [max_context, head_dim], see rope_table.h.
  Decoder(const ModelConfig& model, const ShardPlan& shard, const Weights& weights, const float* rope,
          const ActivationBuffers& activations, Backend& backend, Communicator& communicator);

  // ids → hidden states of all the step's tokens, K and V into `cache` (one entry a layer).
  void trunk(const StepView& step, const std::vector<KvCache>& cache, const int32_t* last_tokens);

  // Hidden states that trunk left for the tokens `indices` [rows] → logits → results.
  void head(int64_t rows, const int32_t* indices, const HeadRow* wanted, HeadResult* results, int32_t* last_tokens);

  void set_observer(Observer observer) { observer_ = std::move(observer); }

 private:
  void see(int64_t layer, const char* name, const Tensor& tensor);

  const ModelConfig& model_;
  const ShardPlan& shard_;
  const Weights& weights_;
  const float* rope_;
  const ActivationBuffers& activations_;
  Backend& backend_;
  Communicator& communicator_;
  Observer observer_;
};

}  // namespace penstock
