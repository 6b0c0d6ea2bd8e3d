// config.json and generation_config.json. Input: the one, NUL, the other.
#include <cmath>

#include "engine/model/model_config.h"
#include "engine/model/rope_table.h"
#include "kernels/error.h"
#include "tests/fuzz/invariant.h"

using namespace penstock;
using fuzz::require;

namespace {

void check_sizes(const ModelConfig& model) {
  require(model.hidden >= 1 && model.layers >= 1 && model.heads >= 1 && model.mlp >= 1, "sizes are positive");
  require(model.kv_heads >= 1 && model.heads % model.kv_heads == 0, "kv_heads divides heads");
  require(model.head_dim >= 8 && model.head_dim <= 256 && model.head_dim % 2 == 0, "head_dim is one that kernels have");
  require(model.vocab >= 1 && model.max_positions >= 1 && model.max_positions <= INT32_MAX, "they fit 32 bits");
  require(static_cast<int64_t>(model.layer.size()) == model.layers, "one entry a layer");
  for (const LayerConfig& layer : model.layer) require(layer.window >= 0, "no window is negative");
  for (int32_t id : model.eos_ids) require(id >= 0 && id < model.vocab, "EOS ids are ids");
  require(!model.bos_id || (*model.bos_id >= 0 && *model.bos_id < model.vocab), "BOS is an id");
  for (float x : {model.embedding_scale, model.attention_scale, model.attention_soft_cap, model.logit_soft_cap})
    require(std::isfinite(x), "scales are finite");
  require(model.attention_scale > 0 && model.rms_norm_eps > 0, "what is divided by is positive");
}

void check_rope(const ModelConfig& model) {
  const int64_t context = std::min<int64_t>(model.max_positions, 8);
  for (float x : rope_tables(model, context)) require(std::isfinite(x), "angles are finite");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto [config, generation] = fuzz::halves(fuzz::text_of(data, size));
  try {
    const ModelConfig model = parse_model_config(config, generation, "folder");
    check_sizes(model);
    check_rope(model);
    const GenerationDefaults defaults = parse_generation_defaults(generation, "folder");
    require(!defaults.temperature || *defaults.temperature >= 0, "no temperature is negative");
  } catch (const Error& error) {
    require(error.code() == ExitCode::bad_model, "a bad config is bad_model");
    require(std::string_view(error.what()).starts_with("folder/"), "the message names the file");
  }
  return 0;
}
