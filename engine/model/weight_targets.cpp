#include "engine/model/weight_targets.h"

namespace penstock {
namespace {

class TargetLister {
 public:
  TargetLister(const ModelConfig& model, const ShardPlan& shard, Weights& weights)
      : m_(model), shard_(shard), weights_(weights) {}

  std::vector<WeightTarget> list() && {
    matrix("model.embed_tokens", m_.vocab, m_.hidden, weights_.embedding);
    weights_.layers.resize(m_.layers);
    for (int64_t i = 0; i < m_.layers; ++i) {
      std::string at = "model.layers." + std::to_string(i) + ".";
      LayerWeights& layer = weights_.layers[i];
      norm(at + "input_layernorm", m_.hidden, layer.input_norm);
      attention(at + "self_attn.", layer);
      if (m_.sandwich_norms) norm(at + "post_attention_layernorm", m_.hidden, layer.attention_norm);
      norm(at + (m_.sandwich_norms ? "pre_feedforward_layernorm" : "post_attention_layernorm"), m_.hidden,
           layer.mlp_norm);
      mlp(at + "mlp.", layer);
      if (m_.sandwich_norms) norm(at + "post_feedforward_layernorm", m_.hidden, layer.output_norm);
    }
    norm("model.norm", m_.hidden, weights_.final_norm);
    weights_.tied = m_.tied_embeddings;
    if (!weights_.tied) matrix("lm_head", m_.vocab, m_.hidden, weights_.lm_head);
    return std::move(list_);
  }

 private:
  void attention(const std::string& at, LayerWeights& layer) {
    const int64_t q = m_.heads * m_.head_dim, kv = m_.kv_heads * m_.head_dim;
    const int64_t my_q = shard_.heads() * m_.head_dim, my_kv = shard_.kv_heads() * m_.head_dim;
    if (m_.fused_qkv) {
      const int64_t all = q + 2 * kv;
      part(at + "qkv_proj", Cut::q_heads, q, m_.hidden, layer.qkv, 0, 0, all);
      part(at + "qkv_proj", Cut::kv_heads, kv, m_.hidden, layer.qkv, my_q, q, all);
      part(at + "qkv_proj", Cut::kv_heads, kv, m_.hidden, layer.qkv, my_q + my_kv, q + kv, all);
    } else {
      matrix(at + "q_proj", q, m_.hidden, layer.qkv, 0);
      matrix(at + "k_proj", kv, m_.hidden, layer.qkv, my_q);
      matrix(at + "v_proj", kv, m_.hidden, layer.qkv, my_q + my_kv);
    }
    if (m_.qkv_bias) {
      vector(at + "q_proj.bias", q, layer.qkv_bias, 0);
      vector(at + "k_proj.bias", kv, layer.qkv_bias, my_q);
      vector(at + "v_proj.bias", kv, layer.qkv_bias, my_q + my_kv);
    }
    if (m_.qk_norm) {
      norm(at + "q_norm", m_.head_dim, layer.q_norm);
      norm(at + "k_norm", m_.head_dim, layer.k_norm);
    }
    matrix(at + "o_proj", m_.hidden, q, layer.output);
    if (m_.output_bias) vector(at + "o_proj.bias", m_.hidden, layer.output_bias);
  }

  void mlp(const std::string& at, LayerWeights& layer) {
    if (m_.fused_gate_up) {
      part(at + "gate_up_proj", Cut::mlp_rows, m_.mlp, m_.hidden, layer.gate_up, 0, 0, 2 * m_.mlp);
      part(at + "gate_up_proj", Cut::mlp_rows, m_.mlp, m_.hidden, layer.gate_up, shard_.mlp(), m_.mlp, 2 * m_.mlp);
    } else {
      matrix(at + "gate_proj", m_.mlp, m_.hidden, layer.gate_up, 0);
      matrix(at + "up_proj", m_.mlp, m_.hidden, layer.gate_up, shard_.mlp());
    }
    matrix(at + "down_proj", m_.hidden, m_.mlp, layer.down);
    if (!m_.mlp_bias) return;
    vector(at + "gate_proj.bias", m_.mlp, layer.gate_up_bias, 0);
    vector(at + "up_proj.bias", m_.mlp, layer.gate_up_bias, shard_.mlp());
    vector(at + "down_proj.bias", m_.hidden, layer.down_bias);
  }

  void matrix(const std::string& name, int64_t rows, int64_t cols, Weight& to, int64_t first = 0) {
    part(name, cut_of(name + ".weight"), rows, cols, to, first, 0, rows);
  }
  // Rows [source, source + rows) of a tensor of `all_rows`.
  void part(const std::string& name, Cut cut, int64_t rows, int64_t cols, Weight& to, int64_t first, int64_t source,
            int64_t all_rows) {
    list_.push_back({name + ".weight", cut, rows, cols, &to, nullptr, first, source, all_rows});
  }
  void vector(const std::string& name, int64_t size, DeviceBuffer& to, int64_t first = 0) {
    list_.push_back({name, cut_of(name), size, 0, nullptr, &to, first, 0, size});
  }
  void norm(const std::string& name, int64_t size, DeviceBuffer& to) { vector(name + ".weight", size, to); }

  const ModelConfig& m_;
  const ShardPlan& shard_;
  Weights& weights_;
  std::vector<WeightTarget> list_;
};

}  // namespace

std::vector<WeightTarget> weight_targets(const ModelConfig& model, const ShardPlan& shard, Weights& weights) {
  return TargetLister(model, shard, weights).list();
}

}  // namespace penstock
