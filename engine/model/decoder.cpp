#include "engine/model/decoder.h"

#include <algorithm>
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

// Large steps are computed in two halves wherever tokens do not see each other: a half's sums over ranks are begun as
// soon as they can be, and run beside the other half's products.
void Decoder::trunk(const StepView& step, const std::vector<KvCache>& cache, const int32_t* last_tokens) {
  const Activations a = activations_.narrow(step.tokens, 0);
  const std::vector<Activations> parts = activations_.parts(step.tokens);
  const float eps = static_cast<float>(model_.rms_norm_eps);

  backend_.embed({a.residual, weights_.embedding, shard_.first_id(), last_tokens, step, model_.embedding_scale});
  communicator_.all_reduce_sum(a.residual);
  see(-1, "embed", a.residual);
  for (const Activations& part : parts) enter_layer(part, 0);

  for (int64_t i = 0; i < model_.layers; ++i) {
    const LayerWeights& w = weights_.layers[i];
    const LayerConfig& layer = model_.layer[i];

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
    for (const Activations& part : parts) {
      backend_.matmul({part.hidden, part.attention, w.output, w.output_bias.as<float>()});
      begin_sum(part);
    }
    for (const Activations& part : parts) {
      sum_add_norm(part, w.attention_norm, w.mlp_norm);
      backend_.gated_matmul(
          {part.mlp, part.gate_up, part.hidden, w.gate_up, w.gate_up_bias.as<float>(), model_.activation});
    }
    see(i, "mlp_input", a.hidden);
    see(i, "mlp", a.mlp);
    for (const Activations& part : parts) {
      backend_.matmul({part.hidden, part.mlp, w.down, w.down_bias.as<float>()});
      begin_sum(part);
    }
    for (const Activations& part : parts) enter_layer(part, i + 1);
    see(i, "residual", a.residual);
  }
}

void Decoder::enter_layer(const Activations& a, int64_t i) {
  const LayerWeights* w = i < model_.layers ? &weights_.layers[i] : nullptr;
  const DeviceBuffer& norm = w ? w->input_norm : weights_.final_norm;
  if (i == 0)
    backend_.rms_norm({a.hidden, a.residual, norm.as<float>(), static_cast<float>(model_.rms_norm_eps)});
  else
    sum_add_norm(a, weights_.layers[i - 1].output_norm, norm);
  if (w) backend_.matmul({a.qkv, a.hidden, w->qkv, w->qkv_bias.as<float>()});
}

void Decoder::head(int64_t rows, const int32_t* indices, Head wanted) {
  Activations a = activations_.narrow(activations_.tokens(), rows);
  backend_.gather_rows({a.wanted, a.hidden, indices});
  backend_.matmul({a.part, a.wanted, weights_.head()});
  if (model_.logit_soft_cap > 0) backend_.soft_cap({a.part, model_.logit_soft_cap});
  wanted.logits = a.logits.columns(0, drawing_.ids);  // [rows, ids]
  Head whole = wanted;                                // where all ids are looked at
  if (shard_.ranks() > 1) whole.rows = let_candidates_choose(a, wanted);
  see(-1, "logits", wanted.logits);
  backend_.sample(whole);
  backend_.score(whole);
  if (drawing_.table_agreement >= 0)
    backend_.draw_from_table({wanted, static_cast<int32_t>(drawing_.table_ids), drawing_.table_agreement});
}

// Returns the rows that candidates cannot decide, whose logits are gathered.
const HeadRow* Decoder::let_candidates_choose(const Activations& a, const Head& wanted) {
  auto* open = a.open.row<HeadRow>(0);
  auto* others = a.others.row<HeadRow>(0);
  // Edited logits lie where rows are gathered to. Other ranks write there once this one has come to that, too.
  const RankLogits part{.logits = a.part,
                        .first_id = shard_.first_id(),
                        .ids = std::clamp<int64_t>(drawing_.ids - shard_.first_id(), 0, shard_.ids()),
                        .edited = a.logits.columns(shard_.rank() * a.part.cols, a.part.cols)};
  backend_.find_candidates({part, wanted, a.candidates.row<Candidate>(0)});
  communicator_.all_gather_columns(a.all_candidates, a.candidates);
  backend_.choose_candidates({.part = part,
                              .head = wanted,
                              .candidates = a.all_candidates.row<Candidate>(0),
                              .ranks = shard_.ranks(),
                              .tallies = a.tallies.row<Tally>(0),
                              .open = open,
                              .others = others});
  communicator_.all_gather_columns(a.all_tallies, a.tallies, open);
  Head left = wanted;
  left.rows = open;
  backend_.settle_candidates({left, a.all_tallies.row<Tally>(0), shard_.ranks(), others});
  communicator_.all_gather_columns(a.logits, a.part, observer_ ? nullptr : others);
  return others;
}

void Decoder::begin_sum(const Activations& a) {
  if (a.is_half()) communicator_.begin_sum(a.hidden, a.fetched);
}

void Decoder::sum_add_norm(const Activations& a, const DeviceBuffer& sandwich_norm, const DeviceBuffer& norm) {
  const float eps = static_cast<float>(model_.rms_norm_eps);
  const AddRmsNorm add{a.hidden, a.residual, a.hidden, norm.as<float>(), eps};
  if (!model_.sandwich_norms)
    return a.is_half() ? communicator_.end_sum_add_rms_norm(add, backend_)
                       : communicator_.sum_add_rms_norm(add, backend_);
  a.is_half() ? communicator_.end_sum(a.hidden) : communicator_.all_reduce_sum(a.hidden);
  backend_.rms_norm({a.hidden, a.hidden, sandwich_norm.as<float>(), eps});
  backend_.add_rms_norm(add);
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
