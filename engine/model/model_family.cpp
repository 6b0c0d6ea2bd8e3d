#include "engine/model/model_family.h"

#include <algorithm>
#include <array>
#include <cmath>

namespace penstock {
namespace {

constexpr std::array<Family, 8> kFamilies = {{
    {.architecture = "LlamaForCausalLM", .model_type = "llama"},
    {.architecture = "MistralForCausalLM",
     .model_type = "mistral",
     .window = WindowStyle::every_layer,
     .bias = BiasStyle::never},
    {.architecture = "Qwen2ForCausalLM",
     .model_type = "qwen2",
     .window = WindowStyle::upper_layers,
     .bias = BiasStyle::qkv_only},
    {.architecture = "Qwen3ForCausalLM",
     .model_type = "qwen3",
     .window = WindowStyle::upper_layers,
     .qk_norm = true,
     .head_dim = 128},
    {.architecture = "Phi3ForCausalLM",
     .model_type = "phi3",
     .window = WindowStyle::every_layer,
     .bias = BiasStyle::never,
     .fused = true,
     .norm_eps = 1e-5},
    {.architecture = "SmolLM3ForCausalLM",
     .model_type = "smollm3",
     .window = WindowStyle::no_rope_ones,
     .tied = true,
     .no_rope_layers = true,
     .theta = 2e6},
    {.architecture = "Gemma2ForCausalLM",
     .model_type = "gemma2",
     .window = WindowStyle::alternating,
     .tied = true,
     .gemma = true,
     .head_dim = 256},
    {.architecture = "Gemma3ForCausalLM",
     .model_type = "gemma3_text",
     .window = WindowStyle::pattern,
     .tied = true,
     .qk_norm = true,
     .gemma = true,
     .head_dim = 256,
     .theta = 1e6},
}};

std::string supported_names() {
  std::string names;
  for (const Family& family : kFamilies) names += (names.empty() ? "" : ", ") + std::string(family.architecture);
  return names;
}

// One entry a layer, or nothing when config.json leaves the field out.
const Json* layer_list(const JsonFields& fields, const char* name, const ModelConfig& config) {
  const Json* list = fields.find(name);
  if (!list) return nullptr;
  if (!list->is_array() || static_cast<int64_t>(list->size()) != config.layers)
    fields.refuse(name, "is not a list of num_hidden_layers, " + std::to_string(config.layers));
  return list;
}

void read_no_rope_layers(const JsonFields& fields, ModelConfig& config) {
  int64_t interval = fields.integer("no_rope_layer_interval", 1, 1024).value_or(4);
  const Json* list = layer_list(fields, "no_rope_layers", config);
  for (int64_t i = 0; i < config.layers; ++i) {
    bool has_rope = (i + 1) % interval != 0;
    if (list) {
      if ((*list)[i] != 0 && (*list)[i] != 1) fields.refuse("no_rope_layers", "holds something else than 0 and 1");
      has_rope = (*list)[i] == 1;
    }
    config.layer[i].rope = has_rope ? LayerConfig::Rope::global : LayerConfig::Rope::none;
  }
}

bool has_window(const Family& family, const JsonFields& fields, const ModelConfig& config, int64_t layer) {
  switch (family.window) {
    case WindowStyle::never:
      return false;
    case WindowStyle::every_layer:
      return true;
    case WindowStyle::upper_layers:
      return layer >= fields.integer("max_window_layers", 0, 1024).value_or(28);
    case WindowStyle::no_rope_ones:
      return config.layer[layer].rope == LayerConfig::Rope::none;
    case WindowStyle::alternating:
      return layer % 2 == 0;
    case WindowStyle::pattern:
      return (layer + 1) % fields.integer("sliding_window_pattern", 1, 1024).value_or(6) != 0;
  }
  return false;
}

void read_windows(const Family& family, const JsonFields& fields, ModelConfig& config) {
  bool by_switch = family.window == WindowStyle::upper_layers || family.window == WindowStyle::no_rope_ones;
  bool in_use = !by_switch || fields.boolean("use_sliding_window").value_or(false);
  auto size = fields.integer("sliding_window", 1, INT32_MAX);
  if (family.window == WindowStyle::never && size)
    fields.refuse("sliding_window", "is not supported with " + config.architecture);
  if (!size && family.gemma) size = 4096;
  if (!size && by_switch && in_use) fields.refuse("sliding_window", "is missing, and use_sliding_window is true");
  const Json* types = family.window == WindowStyle::every_layer ? nullptr : layer_list(fields, "layer_types", config);
  for (int64_t i = 0; i < config.layers; ++i) {
    bool windowed = in_use && has_window(family, fields, config, i);
    if (types) {
      const Json& type = (*types)[i];
      if (type != "full_attention" && type != "sliding_attention")
        fields.refuse("layer_types", shown_value(type) + " is not supported");
      windowed = type == "sliding_attention";
      if (windowed && (!in_use || !size)) fields.refuse("layer_types", "has sliding layers, but no window is in use");
    }
    if (windowed && size) config.layer[i].window = *size;
  }
}

float soft_cap(const JsonFields& fields, const char* name) {
  auto cap = fields.number(name);
  if (cap && !(*cap > 0)) fields.refuse(name, "is not above 0");
  if (cap && *cap > 1e6) fields.refuse(name, "is above 1e6");
  return static_cast<float>(cap.value_or(0));
}

void apply_gemma(const JsonFields& fields, ModelConfig& config) {
  auto scalar = fields.number("query_pre_attn_scalar").value_or(256);
  if (!(scalar >= 1e-6 && scalar <= 1e9)) fields.refuse("query_pre_attn_scalar", "is not between 1e-6 and 1e9");
  if (fields.boolean("use_bidirectional_attention").value_or(false))
    fields.refuse("use_bidirectional_attention", "true is not supported");
  config.attention_scale = static_cast<float>(1 / std::sqrt(scalar));
  config.attention_soft_cap = soft_cap(fields, "attn_logit_softcapping");
  config.logit_soft_cap = soft_cap(fields, "final_logit_softcapping");
  config.embedding_scale = static_cast<float>(std::sqrt(static_cast<double>(config.hidden)));
  config.norm_offset = 1;
  config.sandwich_norms = true;
}

}  // namespace

const Family& find_family(const JsonFields& fields) {
  const Json* list = fields.find("architectures");
  if (!list) fields.refuse("architectures", "is missing");
  if (!list->is_array() || list->size() != 1 || !list->front().is_string())
    fields.refuse("architectures", "is not a list of one string");
  auto name = list->front().get<std::string>();
  auto family =
      std::find_if(kFamilies.begin(), kFamilies.end(), [&](const Family& f) { return name == f.architecture; });
  if (family == kFamilies.end())
    fields.refuse("architectures", quote(name) + " is not supported; these are: " + supported_names());

  auto type = fields.string("model_type");
  if (!type) fields.refuse("model_type", "is missing");
  if (*type != family->model_type)
    fields.refuse("model_type", "is " + quote(*type) + "; " + name + " has \"" + family->model_type + "\"");
  return *family;
}

void apply_family(const Family& family, const JsonFields& fields, ModelConfig& config) {
  config.layer.assign(config.layers, {});
  if (family.no_rope_layers) read_no_rope_layers(fields, config);
  read_windows(family, fields, config);
  if (family.window == WindowStyle::pattern)  // Gemma 3's windowed layers have a RoPE of their own
    for (LayerConfig& layer : config.layer)
      if (layer.window) layer.rope = LayerConfig::Rope::local;

  bool attention_bias = fields.boolean("attention_bias").value_or(false);
  if (family.bias == BiasStyle::never && attention_bias)
    fields.refuse("attention_bias", "true is not supported with " + config.architecture);
  config.qkv_bias = family.bias == BiasStyle::qkv_only || attention_bias;
  config.output_bias = family.bias == BiasStyle::by_field && attention_bias;
  config.mlp_bias = fields.boolean("mlp_bias").value_or(false);
  config.qk_norm = family.qk_norm;
  config.fused_qkv = config.fused_gate_up = family.fused;
  config.attention_scale = 1.0f / std::sqrt(static_cast<float>(config.head_dim));
  if (family.gemma) {
    apply_gemma(fields, config);
  } else {
    for (const char* name : {"attn_logit_softcapping", "final_logit_softcapping"})
      if (fields.find(name)) fields.refuse(name, "is not supported with " + config.architecture);
  }
}

}  // namespace penstock
