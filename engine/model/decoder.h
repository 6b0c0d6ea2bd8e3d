// The forward pass, once for every family, device and number of ranks. What a family has or lacks is in ModelConfig and
// in optional weights.
#pragma once
#include <functional>
#include <vector>

#include "engine/model/activations.h"
#include "engine/model/rope_table.h"
#include "engine/model/weights.h"
#include "kernels/communicator.h"

namespace penstock {

// How tokens come out of logits.
struct Drawing {
  int64_t ids = 0;  // those below may be drawn; what a draft drew beyond could never be accepted
  // EngineConfig::table_agreement, and the ids of that table.
  float table_agreement = -1;
  int64_t table_ids = 0;
};

class Decoder {
 public:
  // Sees every intermediate tensor by name ("layers.3.attention"), after the verb that made it; for `penstock verify`.
  using Observer = std::function<void(const std::string& name, const Tensor& tensor)>;

  // All references must outlive the decoder. `rope`: rope_tables() on the device, placed as `rope_layout` says.
  Decoder(const ModelConfig& model, const ShardPlan& shard, const Weights& weights, const RopeLayout& rope_layout,
          const float* rope, const ActivationBuffers& activations, const Drawing& drawing, Backend& backend,
          Communicator& communicator);

  // ids → hidden states of all the step's tokens, K and V into `cache` (one entry a layer).
  void trunk(const StepView& step, const std::vector<KvCache>& cache, const int32_t* last_tokens);

  // Hidden states that trunk left for the tokens `indices` [rows] → logits → results. `wanted`: all of it but the
  // logits.
  void head(int64_t rows, const int32_t* indices, Head wanted);

  // On all ranks, or on none: only then are all logits gathered.
  void set_observer(Observer observer) { observer_ = std::move(observer); }

 private:
  const float* rope_of(const LayerConfig& layer) const;
  // What is done token by token before layer i's attention, or behind the last layer.
  void enter_layer(const Activations& a, int64_t i);
  // Of a half's a.hidden, beside what is computed of the other half until sum_add_norm(a, …).
  void begin_sum(const Activations& a);
  // a.residual += the ranks' a.hidden, which families with sandwich norms norm first; a.hidden = norm(a.residual).
  void sum_add_norm(const Activations& a, const DeviceBuffer& sandwich_norm, const DeviceBuffer& norm);
  const HeadRow* let_candidates_choose(const Activations& a, const Head& wanted);
  void see(int64_t layer, const char* name, const Tensor& tensor);

  const ModelConfig& model_;
  const ShardPlan& shard_;
  const Weights& weights_;
  const RopeLayout rope_layout_;
  const float* rope_;
  const ActivationBuffers& activations_;
  const Drawing drawing_;
  Backend& backend_;
  Communicator& communicator_;
  Observer observer_;
};

}  // namespace penstock
