// config.json and generation_config.json as validated facts. One struct serves every decoder family: what a family has
// or lacks is data here and an optional weight in the file, never a branch by name in the decoder.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/backend.h"

namespace penstock {

struct RopeConfig {
  enum class Scaling { none, linear, llama3, yarn, longrope };
  double theta = 10000.0;
  double rotary_share = 1.0;  // of head_dim; the rest of a head is not rotated
  Scaling scaling = Scaling::none;
  double factor = 1.0;
  double attention_factor = 1.0;                         // cosines and sines are multiplied by it (yarn, longrope)
  int64_t original_max_positions = 0;                    // of pretraining (llama3, yarn, longrope)
  double low_freq_factor = 1.0, high_freq_factor = 4.0;  // llama3
  double beta_fast = 32, beta_slow = 1;                  // yarn
  bool truncate = true;                                  // yarn
  std::vector<double> short_factor{}, long_factor{};     // longrope, [rotary_dim / 2]

  bool operator==(const RopeConfig&) const = default;
};

// How many dimensions of a head are rotated.
int64_t rotary_dim(const RopeConfig& rope, int64_t head_dim);

struct LayerConfig {
  enum class Rope { none, global, local } rope = Rope::global;
  int64_t window = 0;  // a token sees itself and the window - 1 before it; 0: all
};

struct ModelConfig {
  std::string architecture;  // "LlamaForCausalLM"
  int64_t hidden = 0;
  int64_t layers = 0;
  int64_t heads = 0;
  int64_t kv_heads = 0;  // divides heads
  int64_t head_dim = 0;
  int64_t mlp = 0;            // intermediate_size
  int64_t vocab = 0;          // rows of the embedding table
  int64_t max_positions = 0;  // tokens of a sequence that the position embedding is made for
  double rms_norm_eps = 1e-6;
  Activation activation = Activation::silu;
  bool tied_embeddings = false;
  bool qkv_bias = false;
  bool output_bias = false;  // attention_bias puts one on o_proj as well
  bool mlp_bias = false;
  bool qk_norm = false;         // RMS norm of every query and key head
  bool fused_qkv = false;       // one checkpoint tensor self_attn.qkv_proj
  bool fused_gate_up = false;   // one checkpoint tensor mlp.gate_up_proj
  bool sandwich_norms = false;  // a norm after attention and after the MLP, too, before the residual is added
  float norm_offset = 0;        // added to the checkpoint's norm weights (Gemma's are around 0)
  float embedding_scale = 1;
  float attention_scale = 0;             // of q·k
  float attention_soft_cap = 0;          // 0: none
  float logit_soft_cap = 0;              // 0: none
  std::vector<LayerConfig> layer;        // [layers]
  RopeConfig rope, local_rope;           // local_rope: of layers with Rope::local
  DType checkpoint_dtype = DType::bf16;  // torch_dtype / dtype; the tensors' own dtype decides when reading
  std::optional<int32_t> bos_id;
  std::vector<int32_t> eos_ids;  // union of config.json and generation_config.json, ascending
};

// Defaults that generation_config.json gives to requests that do not say otherwise (design.md §7).
struct GenerationDefaults {
  std::optional<double> temperature, top_p, min_p, repetition_penalty;
  std::optional<int64_t> top_k;
  bool do_sample = true;  // do_sample false means temperature 0
};

// `config_text`: the bytes of config.json; `generation_text`: of generation_config.json, empty when there is none.
// `folder` is for messages. Errors: Error(bad_model) "FOLDER/config.json: field: what is wrong with it".
ModelConfig parse_model_config(std::string_view config_text, std::string_view generation_text,
                               const std::string& folder);
GenerationDefaults parse_generation_defaults(std::string_view generation_text, const std::string& folder);

}  // namespace penstock
