#include "engine/model/model_config.h"

#include <array>
#include <set>

#include "engine/model/json_fields.h"
#include "engine/model/model_family.h"
#include "engine/model/rope_config.h"

namespace penstock {
namespace {

// Fields that would change the arithmetic in a way that no supported family has. Absent, null and the neutral value are
// the same; anything else is an error. (Fields that are not here are ignored, as transformers does.)
struct NeutralField {
  const char* name;
  const char* neutral;  // JSON; nullptr when no value is
};
constexpr std::array<NeutralField, 12> kNeutralFields = {{
    {"quantization_config", nullptr},
    {"compression_config", nullptr},
    {"rope_interleaved", "false"},
    {"attention_chunk_size", nullptr},
    {"num_local_experts", nullptr},
    {"num_experts", nullptr},
    {"use_qk_norm", "false"},
    {"clip_qkv", nullptr},
    {"embedding_multiplier", "1"},
    {"residual_multiplier", "1"},
    {"attention_multiplier", nullptr},
    {"logits_scaling", "1"},
}};

std::string config_place(const std::string& folder) { return folder + "/config.json"; }
std::string generation_place(const std::string& folder) { return folder + "/generation_config.json"; }

void check_neutral_fields(const JsonFields& fields) {
  for (const NeutralField& field : kNeutralFields) {
    const Json* value = fields.find(field.name);
    if (!value) continue;
    if (!field.neutral) fields.refuse(field.name, "is not supported (" + shown_value(*value) + ")");
    Json neutral = Json::parse(field.neutral);
    if (value->type() == Json::value_t::boolean ? *value != neutral : !value->is_number() || *value != neutral)
      fields.refuse(field.name, shown_value(*value) + " is not supported; only " + field.neutral + " is");
  }
}

void read_sizes(const Family& family, const JsonFields& fields, ModelConfig& config) {
  config.hidden = fields.required_integer("hidden_size", 1, 1 << 20);
  config.layers = fields.required_integer("num_hidden_layers", 1, 1024);
  config.heads = fields.required_integer("num_attention_heads", 1, 1024);
  config.kv_heads = fields.integer("num_key_value_heads", 1, 1024).value_or(config.heads);
  if (config.heads % config.kv_heads != 0)
    fields.refuse("num_key_value_heads", std::to_string(config.kv_heads) + " does not divide num_attention_heads, " +
                                             std::to_string(config.heads));
  config.mlp = fields.required_integer("intermediate_size", 1, 1 << 22);
  config.vocab = fields.required_integer("vocab_size", 1, 1 << 24);
  config.max_positions = fields.required_integer("max_position_embeddings", 1, 1 << 30);

  auto head_dim = fields.integer("head_dim", 8, 256);
  if (!head_dim && family.head_dim > 0) head_dim = family.head_dim;
  if (!head_dim) {
    if (config.hidden % config.heads != 0)
      fields.refuse("num_attention_heads", std::to_string(config.heads) + " does not divide hidden_size, " +
                                               std::to_string(config.hidden) + ", and head_dim is missing");
    head_dim = config.hidden / config.heads;
  }
  if (*head_dim < 8 || *head_dim > 256 || *head_dim % 2 != 0)
    fields.refuse("head_dim", std::to_string(*head_dim) + " is not supported (even numbers from 8 to 256 are)");
  config.head_dim = *head_dim;
}

Activation read_activation(const Family& family, const JsonFields& fields) {
  // Gemma 2's first files say hidden_act "gelu_pytorch_tanh" or "gelu" beside hidden_activation, which is what counts.
  auto given = family.gemma ? fields.string("hidden_activation") : fields.string("hidden_act");
  std::string name = given.value_or(family.gemma ? "gelu_pytorch_tanh" : "silu");
  if (name == "silu" || name == "swish") return Activation::silu;
  if (name == "gelu_pytorch_tanh" || name == "gelu_new") return Activation::gelu_tanh;
  fields.refuse(family.gemma ? "hidden_activation" : "hidden_act",
                quote(name) + " is not supported (silu and gelu_pytorch_tanh are)");
}

DType read_dtype(const JsonFields& fields) {
  auto name = fields.string("dtype", "torch_dtype");
  if (!name || *name == "bfloat16") return DType::bf16;
  if (*name == "float16") return DType::f16;
  if (*name == "float32") return DType::f32;
  fields.refuse(fields.find("dtype") ? "dtype" : "torch_dtype",
                quote(*name) + " is not supported (bfloat16, float16 and float32 are)");
}

double read_norm_eps(const Family& family, const JsonFields& fields) {
  double eps = fields.number("rms_norm_eps").value_or(family.norm_eps);
  if (!(eps > 0 && eps < 1)) fields.refuse("rms_norm_eps", "is not between 0 and 1");
  return eps;
}

std::optional<int32_t> read_bos(const JsonFields& fields, int64_t vocab) {
  auto id = fields.integer("bos_token_id", 0, vocab - 1);
  return id ? std::optional(static_cast<int32_t>(*id)) : std::nullopt;
}

// One id, a list of ids, or null.
void add_eos(const JsonFields& fields, int64_t vocab, std::set<int32_t>& ids) {
  const Json* value = fields.find("eos_token_id");
  if (!value) return;
  for (const Json& id : value->is_array() ? *value : Json::array({*value})) {
    if (!id.is_number_integer()) fields.refuse("eos_token_id", "is not an integer or a list of integers");
    // As unsigned, negative ids are large.
    if (id.get<uint64_t>() >= static_cast<uint64_t>(vocab))
      fields.refuse("eos_token_id", id.dump() + " is not a token id (vocab_size is " + std::to_string(vocab) + ")");
    ids.insert(id.get<int32_t>());
  }
}

}  // namespace

ModelConfig parse_model_config(std::string_view config_text, std::string_view generation_text,
                               const std::string& folder) {
  const Json json = parse_json_object(config_text, config_place(folder));
  const JsonFields fields(json, config_place(folder) + ": ");
  ModelConfig config;
  const Family& family = find_family(fields);
  config.architecture = family.architecture;
  check_neutral_fields(fields);
  read_sizes(family, fields, config);
  config.rms_norm_eps = read_norm_eps(family, fields);
  config.activation = read_activation(family, fields);
  config.tied_embeddings = fields.boolean("tie_word_embeddings").value_or(family.tied);
  apply_family(family, fields, config);
  read_rope(fields, family.theta, config);
  config.checkpoint_dtype = read_dtype(fields);

  config.bos_id = read_bos(fields, config.vocab);
  std::set<int32_t> eos_ids;
  add_eos(fields, config.vocab, eos_ids);
  if (!generation_text.empty()) {
    const Json generation = parse_json_object(generation_text, generation_place(folder));
    const JsonFields more(generation, generation_place(folder) + ": ");
    auto bos_id = read_bos(more, config.vocab);
    if (!config.bos_id) config.bos_id = bos_id;
    add_eos(more, config.vocab, eos_ids);
  }
  config.eos_ids.assign(eos_ids.begin(), eos_ids.end());
  return config;
}

GenerationDefaults parse_generation_defaults(std::string_view generation_text, const std::string& folder) {
  GenerationDefaults defaults;
  if (generation_text.empty()) return defaults;
  const Json json = parse_json_object(generation_text, generation_place(folder));
  const JsonFields fields(json, generation_place(folder) + ": ");
  auto share = [&](const char* name) {
    auto value = fields.number(name);
    if (value && !(*value >= 0 && *value <= 1)) fields.refuse(name, "is not between 0 and 1");
    return value;
  };
  defaults.temperature = fields.number("temperature");
  if (defaults.temperature && !(*defaults.temperature >= 0 && *defaults.temperature <= 100))
    fields.refuse("temperature", "is not between 0 and 100");
  defaults.top_p = share("top_p");
  defaults.min_p = share("min_p");
  defaults.top_k = fields.integer("top_k", 0, INT32_MAX);
  defaults.repetition_penalty = fields.number("repetition_penalty");
  if (defaults.repetition_penalty && !(*defaults.repetition_penalty > 0 && *defaults.repetition_penalty <= 10))
    fields.refuse("repetition_penalty", "is not above 0 and at most 10");
  // transformers takes an absent do_sample for false; here only an explicit one counts (design.md §7).
  defaults.do_sample = fields.boolean("do_sample").value_or(true);
  return defaults;
}

}  // namespace penstock
