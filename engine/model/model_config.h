// config.json and generation_config.json as validated facts. One struct serves every decoder family: what a family has
// or lacks is data here and an optional weight in the file, never a branch by name in the decoder.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/tensor.h"

namespace penstock {

enum class Activation { silu, gelu_tanh };

struct RopeConfig {
  double theta = 10000.0;
  enum class Scaling { none, llama3 } scaling = Scaling::none;
  double factor = 1.0;  // llama3 …
  double low_freq_factor = 1.0;
  double high_freq_factor = 4.0;
  int64_t original_max_positions = 0;
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
  int64_t max_positions = 0;  // max_position_embeddings
  double rms_norm_eps = 1e-6;
  Activation activation = Activation::silu;
  bool tied_embeddings = false;
  bool qkv_bias = false;
  bool output_bias = false;  // attention_bias puts one on o_proj as well
  bool mlp_bias = false;
  RopeConfig rope;
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
