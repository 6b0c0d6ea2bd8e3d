// What sets the supported decoder families apart, as data: names, defaults and the fields of config.json that only some
// of them have.
#pragma once
#include "engine/model/json_fields.h"
#include "engine/model/model_config.h"

namespace penstock {

// How a family's config.json says which layers have a window.
enum class WindowStyle {
  never,         // sliding_window is refused
  every_layer,   // sliding_window, unless null (Mistral, Phi-3)
  upper_layers,  // with use_sliding_window, from layer max_window_layers on (Qwen2, Qwen3)
  no_rope_ones,  // with use_sliding_window, the layers without RoPE (SmolLM3)
  alternating,   // every layer but each second one (Gemma 2)
  pattern,       // every layer but each sliding_window_pattern-th one (Gemma 3)
};

enum class BiasStyle {
  never,
  by_field,  // attention_bias: on q, k, v and o
  qkv_only,  // always, on q, k and v (Qwen2)
};

// Defaults are those of transformers' configuration classes, for fields that a config.json leaves out.
struct Family {
  const char* architecture;
  const char* model_type;
  WindowStyle window = WindowStyle::never;
  BiasStyle bias = BiasStyle::by_field;
  bool tied = false;
  bool fused = false;  // qkv_proj and gate_up_proj
  bool qk_norm = false;
  bool gemma = false;  // norms around 1 + weight, sandwich norms, scaled embeddings, query_pre_attn_scalar, soft caps
  bool no_rope_layers = false;
  int64_t head_dim = 0;  // 0: hidden / heads
  double theta = 10000;
  double norm_eps = 1e-6;
};

// By config.json's architectures and model_type. Errors: Error(bad_model), naming what is supported.
const Family& find_family(const JsonFields& fields);

// Fills in what the family decides: layers, norms, scales. Expects the sizes to be there.
void apply_family(const Family& family, const JsonFields& fields, ModelConfig& config);

}  // namespace penstock
