#include "engine/model/decoder.h"

#include <string>

namespace penstock {

Decoder::Decoder(const ModelConfig& model, const ShardPlan& shard, const Weights& weights,
                 const RopeLayout& rope_layout, const float* rope, const ActivationBuffers& activations,
                 const Drawing& drawing, Backend& backend, Communicator& communicator)
    : model_(model),
      shard_(shard),
      weights_(weights),
      rope_layout_(rope_layout),
      rope_(rope),
      activations_(activations),
      drawing_(drawing),
      backend_(backend),
      communicator_(communicator) {}

void Decoder::trunk(const StepView& step, const std::vector<KvCache>& cache, const int32_t* last_tokens) {
  Activations a = activations_.narrow(step.tokens, 0);
  const float eps = static_cast<float>(model_.rms_norm_eps);

  backend_.embed({a.residual, weights_.embedding, shard_.first_id(), last_tokens, step, model_.embedding_scale});
  communicator_.all_reduce_sum(a.residual);
  see(-1, "embed", a.residual);
  backend_.rms_norm({a.hidden, a.residual, weights_.layers[0].input_norm.as<float>(), eps});

  for (int64_t i = 0; i < model_.layers; ++i) {
    const LayerWeights& w = weights_.layers[i];
    const LayerConfig& layer = model_.layer[i];
    const DeviceBuffer& next_norm = i + 1 < model_.layers ? weights_.layers[i + 1].input_norm : weights_.final_norm;

    backend_.matmul({a.qkv, a.hidden, w.qkv, w.qkv_bias.as<float>()});
    backend_.qk_norm_rope_store({.qkv = a.qkv,
                                 .heads = shard_.heads(),
                                 .q_norm = w.q_norm.as<float>(),
                                 .k_norm = w.k_norm.as<float>(),
                                 .norm_eps = eps,
                                 .rope = rope_of(layer),
                                 .rotary_dim = rope_layout_.width,
                                 .cache = cache[i],
                                 .step = step});
    see(i, "qkv", a.qkv);
    backend_.paged_attention({.out = a.attention,
                              .qkv = a.qkv,
                              .heads = shard_.heads(),
                              .scale = model_.attention_scale,
                              .window = layer.window,
                              .soft_cap = model_.attention_soft_cap,
                              .cache = cache[i],
                              .step = step});
    see(i, "attention", a.attention);
    backend_.matmul({a.hidden, a.attention, w.output, w.output_bias.as<float>()});
    communicator_.all_reduce_sum(a.hidden);
    if (model_.sandwich_norms) backend_.rms_norm({a.hidden, a.hidden, w.attention_norm.as<float>(), eps});
    backend_.add_rms_norm({a.hidden, a.residual, a.hidden, w.mlp_norm.as<float>(), eps});
    see(i, "mlp_input", a.hidden);

    backend_.gated_matmul({a.mlp, a.gate_up, a.hidden, w.gate_up, w.gate_up_bias.as<float>(), model_.activation});
    see(i, "mlp", a.mlp);
    backend_.matmul({a.hidden, a.mlp, w.down, w.down_bias.as<float>()});
    communicator_.all_reduce_sum(a.hidden);
    if (model_.sandwich_norms) backend_.rms_norm({a.hidden, a.hidden, w.output_norm.as<float>(), eps});
    backend_.add_rms_norm({a.hidden, a.residual, a.hidden, next_norm.as<float>(), eps});
    see(i, "residual", a.residual);
  }
}

void Decoder::head(int64_t rows, const int32_t* indices, Head wanted) {
  Activations a = activations_.narrow(activations_.tokens(), rows);
  backend_.gather_rows({a.wanted, a.hidden, indices});
  backend_.matmul({a.part, a.wanted, weights_.head()});
  if (shard_.ranks() > 1) communicator_.all_gather_columns(a.logits, a.part);
  wanted.logits = a.logits.columns(0, drawing_.ids);  // [rows, ids]
  if (model_.logit_soft_cap > 0) backend_.soft_cap({wanted.logits, model_.logit_soft_cap});
  see(-1, "logits", wanted.logits);
  backend_.sample(wanted);
  backend_.score(wanted);
  if (drawing_.table_agreement >= 0)
    backend_.draw_from_table({wanted, static_cast<int32_t>(drawing_.table_ids), drawing_.table_agreement});
}

const float* Decoder::rope_of(const LayerConfig& layer) const {
  switch (layer.rope) {
    case LayerConfig::Rope::none:
      return nullptr;
    case LayerConfig::Rope::global:
      return rope_;
    case LayerConfig::Rope::local:
      return rope_ + rope_layout_.local_begin * rope_layout_.width;
  }
  return nullptr;
}

void Decoder::see(int64_t layer, const char* name, const Tensor& tensor) {
  if (observer_) observer_(layer < 0 ? name : "layers." + std::to_string(layer) + "." + name, tensor);
}

}  // namespace penstock
