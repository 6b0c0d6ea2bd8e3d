#include <cmath>

#include "engine/json.h"
#include "engine/model/model_config.h"
#include "tests/support/catch.h"

namespace penstock {
namespace {

// A small valid config.json; a case changes some of its fields or takes one away.
Json base() {
  return Json::parse(R"({"architectures":["LlamaForCausalLM"],"model_type":"llama","hidden_size":64,
    "num_hidden_layers":2,"num_attention_heads":4,"num_key_value_heads":2,"intermediate_size":128,"vocab_size":100,
    "max_position_embeddings":256,"rms_norm_eps":1e-05,"hidden_act":"silu","rope_theta":10000.0,
    "tie_word_embeddings":false,"torch_dtype":"bfloat16","eos_token_id":2,"bos_token_id":1})");
}
std::string with(const std::string& changes) {
  Json config = base();
  config.update(Json::parse(changes));
  return config.dump();
}
std::string without(const std::string& field) {
  Json config = base();
  config.erase(field);
  return config.dump();
}
ModelConfig parse(const std::string& config, const std::string& generation = "") {
  return parse_model_config(config, generation, "m");
}

constexpr const char* kLlama3 =
    R"({"rope_type":"llama3","factor":8.0,"low_freq_factor":1.0,"high_freq_factor":4,"original_max_position_embeddings":64})";
std::string llama3_with(const std::string& changes) {
  Json rope = Json::parse(kLlama3);
  rope.update(Json::parse(changes));
  return with(Json{{"rope_scaling", rope}}.dump());
}

struct Row {
  std::string config;
  const char* message;
};

std::vector<Row> refused() {
  std::vector<Row> rows = {
      {"", "m/config.json: syntax error"},  // C01
      {"nonsense", "m/config.json: syntax error"},
      {"[]", "m/config.json: is not an object"},
      {without("architectures"), "architectures: is missing"},  // C02
      {without("model_type"), "model_type: is missing"},
      {with(R"({"architectures":[]})"), "architectures: is not a list of one string"},
      {with(R"({"architectures":"LlamaForCausalLM"})"), "architectures: is not a list"},
      {with(R"({"architectures":["LlamaForCausalLM","X"]})"), "architectures: is not a list"},
      {with(R"({"architectures":["NewForCausalLM"]})"),
       "architectures: \"NewForCausalLM\" is not supported; these are: LlamaForCausalLM, "},
      {with(R"({"model_type":"mistral"})"), "model_type: is \"mistral\""},
      {with(R"({"hidden_size":0})"), "hidden_size: is 0, outside 1 to 1048576"},  // C03
      {with(R"({"hidden_size":-64})"), "hidden_size: is -64"},
      {with(R"({"hidden_size":64.0})"), "hidden_size: is not an integer but 64.0"},
      {with(R"({"hidden_size":"64"})"), "hidden_size: is not an integer but \"64\""},
      {with(R"({"hidden_size":1099511627776})"), "hidden_size: is 1099511627776"},
      {with(R"({"hidden_size":18446744073709551615})"), "hidden_size: is 18446744073709551615"},
      {with(R"({"hidden_size":true})"), "hidden_size: is not an integer but true"},
      {with(R"({"hidden_size":null})"), "hidden_size: is missing"},
      {with(R"({"hidden_size":[64]})"), "hidden_size: is not an integer but a list"},
      {with(R"({"num_attention_heads":0})"), "num_attention_heads: is 0"},  // C04
      {with(R"({"num_attention_heads":1025})"), "num_attention_heads: is 1025"},
      {with(R"({"num_key_value_heads":3})"), "num_key_value_heads: 3 does not divide"},  // C05
      {with(R"({"num_key_value_heads":0})"), "num_key_value_heads: is 0"},
      {with(R"({"num_key_value_heads":8})"), "num_key_value_heads: 8 does not divide"},
      {with(R"({"hidden_size":66})"), "num_attention_heads: 4 does not divide hidden_size, 66"},  // C06
      {with(R"({"head_dim":9})"), "head_dim: 9 is not supported"},                                // C07
      {with(R"({"head_dim":6})"), "head_dim: is 6"},
      {with(R"({"head_dim":258})"), "head_dim: is 258"},
      {with(R"({"hidden_size":16})"), "head_dim: 4 is not supported"},
      {with(R"({"hidden_size":2048})"), "head_dim: 512 is not supported"},
      {with(R"({"num_hidden_layers":1000000000})"), "num_hidden_layers: is 1000000000"},  // C08
      {with(R"({"num_hidden_layers":0})"), "num_hidden_layers: is 0"},
      {with(R"({"vocab_size":0})"), "vocab_size: is 0"},
      {with(R"({"vocab_size":16777217})"), "vocab_size: is 16777217"},
      {with(R"({"intermediate_size":0})"), "intermediate_size: is 0"},
      {with(R"({"rope_theta":0})"), "rope_theta: is not between 1 and 1e12"},  // C11
      {with(R"({"rope_theta":-1.5})"), "rope_theta: is not between 1 and 1e12"},
      {with(R"({"rope_theta":"10000"})"), "rope_theta: is not a number"},
      {R"({"rope_theta":1e400})", "number overflow"},
      {R"({"rope_theta":NaN})", "invalid literal"},
      {with(R"({"rope_scaling":{"type":"ntk","factor":2.0}})"), "rope_scaling.rope_type: \"ntk\" is not"},  // C12
      {with(R"({"rope_scaling":{"type":"linear"}})"), "rope_scaling.factor: is missing"},
      {with(R"({"rope_scaling":{"type":"linear","factor":0.5}})"), "rope_scaling.factor: is below 1"},
      {with(R"({"rope_scaling":{"type":"linear","factor":1e300}})"), "rope_scaling.factor: is not between"},
      {with(R"({"rope_scaling":{"type":"dynamic","factor":"2"}})"), "rope_scaling.factor: is not a number"},
      {with(R"({"rope_scaling":{"type":"yarn","factor":1e12}})"), "rope_scaling.factor: makes a context of more"},
      {with(R"({"rope_scaling":{"type":"yarn","factor":4,"mscale":-100,"mscale_all_dim":1}})"),
       "rope_scaling.attention_factor: comes to -"},
      {with(R"({"partial_rotary_factor":0.001})"), "partial_rotary_factor: leaves nothing of a head"},
      {with(R"({"rope_scaling":{"type":"yarn","factor":2.0,"low_freq_factor":1}})"), "\"low_freq_factor\": is not"},
      {with(R"({"rope_scaling":{"type":"yarn","factor":2.0,"beta_fast":0}})"), "rope_scaling.beta_fast: is not above"},
      {with(R"({"rope_parameters":{"rope_type":"longrope"}})"), "rope_parameters.short_factor: is missing"},
      {with(R"({"rope_scaling":{"type":"su","short_factor":[1,1],"long_factor":[1,1]}})"),
       "short_factor: is not a list of 8 numbers"},
      {with(R"({"rope_scaling":{"type":"su","short_factor":[1,1,1,1,1,1,1,0],"long_factor":[1]}})"),
       "short_factor: holds something else than numbers above 0"},
      {with(R"({"rope_scaling":{"factor":2.0}})"), "rope_scaling.\"factor\": is not supported with"},
      {with(R"({"rope_scaling":{"type":"default","rope_type":"llama3"}})"),
       "rope_scaling.rope_type: is \"llama3\", but type"},
      {with(R"({"rope_scaling":"llama3"})"), "rope_scaling: is not an object"},
      {with(R"({"rope_scaling":{"rope_type":1}})"), "rope_scaling.rope_type: is not a string"},
      {llama3_with(R"({"factor":null})"), "rope_scaling.factor: is missing"},
      {llama3_with(R"({"factor":0.5})"), "rope_scaling.factor: is below 1"},
      {llama3_with(R"({"factor":"8"})"), "rope_scaling.factor: is not a number"},
      {llama3_with(R"({"low_freq_factor":0})"), "rope_scaling.low_freq_factor: is not above 0"},
      {llama3_with(R"({"high_freq_factor":1})"), "rope_scaling.high_freq_factor: is not above low_freq_factor"},
      {llama3_with(R"({"original_max_position_embeddings":64.0})"),
       "original_max_position_embeddings: is not an integer"},
      {llama3_with(R"({"attention_factor":1.5})"), "rope_scaling.\"attention_factor\": is not supported"},
      {with(R"({"rope_parameters":{"rope_theta":500000.0}})"), "rope_parameters: its rope_theta differs"},
      {with(R"({"rope_parameters":{"rope_type":"default"},"rope_scaling":)" + std::string(kLlama3) + "}"),
       "rope_scaling: differs from rope_parameters"},
      {with(R"({"rope_parameters":{"partial_rotary_factor":1.5}})"), "partial_rotary_factor: is above 1"},
      {with(R"({"rms_norm_eps":0})"), "rms_norm_eps: is not between 0 and 1"},  // C13
      {with(R"({"rms_norm_eps":-1e-6})"), "rms_norm_eps: is not between"},
      {with(R"({"rms_norm_eps":1})"), "rms_norm_eps: is not between"},
      {with(R"({"tie_word_embeddings":1})"), "tie_word_embeddings: is not true or false but 1"},
      {with(R"({"tie_word_embeddings":"true"})"), "tie_word_embeddings: is not true or false"},
      {with(R"({"attention_bias":0})"), "attention_bias: is not true or false"},
      {with(R"({"mlp_bias":"no"})"), "mlp_bias: is not true or false"},
      {with(R"({"max_position_embeddings":0})"), "max_position_embeddings: is 0"},  // C15
      {with(R"({"max_position_embeddings":2147483648})"), "max_position_embeddings: is 2147483648"},
      {with(R"({"quantization_config":{"quant_method":"gptq"}})"), "quantization_config: is not supported"},  // C16
      {with(R"({"quantization_config":{}})"), "quantization_config: is not supported"},
      {with(R"({"eos_token_id":100})"), "eos_token_id: 100 is not a token id (vocab_size is 100)"},  // C17
      {with(R"({"eos_token_id":[2,100]})"), "eos_token_id: 100 is not a token id"},
      {with(R"({"eos_token_id":-1})"), "eos_token_id: -1 is not a token id"},
      {with(R"({"eos_token_id":2.0})"), "eos_token_id: is not an integer"},
      {with(R"({"eos_token_id":["2"]})"), "eos_token_id: is not an integer"},
      {with(R"({"eos_token_id":[[2]]})"), "eos_token_id: is not an integer"},
      {with(R"({"eos_token_id":{}})"), "eos_token_id: is not an integer"},
      {with(R"({"eos_token_id":true})"), "eos_token_id: is not an integer"},
      {with(R"({"bos_token_id":100})"), "bos_token_id: is 100, outside 0 to 99"},
      {with(R"({"bos_token_id":[1]})"), "bos_token_id: is not an integer"},
      {with(R"({"torch_dtype":"float64"})"), "torch_dtype: \"float64\" is not supported"},  // C18
      {with(R"({"torch_dtype":null,"dtype":"float8_e4m3fn"})"), "dtype: \"float8_e4m3fn\" is not supported"},
      {with(R"({"dtype":"float16"})"), "dtype: is \"float16\", but torch_dtype is \"bfloat16\""},
      {with(R"({"dtype":16})"), "dtype: is not a string"},
      {R"({"a":)" + std::string(100'000, '['), "nested deeper"},               // C19
      {R"({"vocab_size":1,"vocab_size":2})", "duplicate key \"vocab_size\""},  // C20
      {with(R"({"sliding_window":-1})"), "sliding_window: is -1"},             // C21
      {with(R"({"sliding_window":4096})"), "sliding_window: is not supported with LlamaForCausalLM"},
      {with(R"({"layer_types":["full_attention"]})"), "layer_types: is not a list of num_hidden_layers, 2"},
      {with(R"({"layer_types":["full_attention","linear_attention"]})"), "layer_types: \"linear_attention\" is not"},
      {with(R"({"layer_types":["full_attention","sliding_attention"]})"), "layer_types: has sliding layers, but no"},
      {with(R"({"hidden_act":"gelu"})"), "hidden_act: \"gelu\" is not supported"},
      {with(R"({"hidden_act":"relu"})"), "hidden_act: \"relu\" is not supported"},
      {with(R"({"rope_interleaved":true})"), "rope_interleaved: true is not supported"},
      {with(R"({"rope_interleaved":0})"), "rope_interleaved: 0 is not supported"},
      {with(R"({"partial_rotary_factor":1.5})"), "partial_rotary_factor: is above 1"},
      {with(R"({"attn_logit_softcapping":50.0})"), "attn_logit_softcapping: is not supported with LlamaForCausalLM"},
      {with(R"({"final_logit_softcapping":30.0})"), "final_logit_softcapping: is not supported with"},
      {with(R"({"num_local_experts":8})"), "num_local_experts: is not supported"},
  };
  for (const char* field : {"hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size",
                            "vocab_size", "max_position_embeddings"})
    rows.push_back({without(field), ": is missing"});
  return rows;
}

void check_refused(const std::string& config, const std::string& generation, const std::string& message) {
  CAPTURE(config.substr(0, 600), generation);
  try {
    parse(config, generation);
    FAIL("accepted");
  } catch (const Error& e) {
    CHECK(e.code() == ExitCode::bad_model);
    CHECK_THAT(e.what(), ContainsSubstring(message));
    CHECK_THAT(e.what(), ContainsSubstring(generation.empty() ? "m/config.json: " : "m/generation_config.json: "));
    CHECK(std::string(e.what()).size() < 400);
  }
}

TEST_CASE("A config.json that is wrong is refused by file and field") {
  for (const Row& row : refused()) check_refused(row.config, "", row.message);
}

// A config of another family: base() with its names and the given changes.
std::string family(const char* architecture, const char* type, const std::string& changes = "{}") {
  Json config = base();
  config["architectures"] = {architecture};
  config["model_type"] = type;
  config["num_hidden_layers"] = 6;
  config.erase("tie_word_embeddings");
  config.update(Json::parse(changes));
  return config.dump();
}
std::vector<int64_t> windows(const ModelConfig& config) {
  std::vector<int64_t> list;
  for (const LayerConfig& layer : config.layer) list.push_back(layer.window);
  return list;
}
std::string ropes(const ModelConfig& config) {
  std::string list;
  for (const LayerConfig& layer : config.layer) list += "-gl"[static_cast<int>(layer.rope)];
  return list;
}
using Windows = std::vector<int64_t>;

TEST_CASE("Mistral's window is on every layer, or off") {
  CHECK(windows(parse(family("MistralForCausalLM", "mistral", R"({"sliding_window":16})"))) == Windows(6, 16));
  CHECK(windows(parse(family("MistralForCausalLM", "mistral", R"({"sliding_window":null})"))) == Windows(6, 0));
  check_refused(family("MistralForCausalLM", "mistral", R"({"attention_bias":true})"), "", "attention_bias: true is");
}

TEST_CASE("Qwen2 has biases on q, k and v, and its window only where it is switched on") {
  ModelConfig c = parse(family("Qwen2ForCausalLM", "qwen2",
                               R"({"sliding_window":32768,"use_sliding_window":false,"max_window_layers":2})"));
  CHECK(c.qkv_bias);
  CHECK_FALSE(c.output_bias);
  CHECK(windows(c) == Windows(6, 0));
  c = parse(
      family("Qwen2ForCausalLM", "qwen2", R"({"sliding_window":8,"use_sliding_window":true,"max_window_layers":4})"));
  CHECK(windows(c) == Windows{0, 0, 0, 0, 8, 8});
  check_refused(family("Qwen2ForCausalLM", "qwen2", R"({"use_sliding_window":true})"), "",
                "sliding_window: is missing");
}

TEST_CASE("Qwen3 has QK norms and heads of 128 unless it says otherwise") {
  ModelConfig c = parse(family("Qwen3ForCausalLM", "qwen3", R"({"sliding_window":null,"head_dim":null})"));
  CHECK(c.qk_norm);
  CHECK(c.head_dim == 128);
  CHECK_FALSE(c.qkv_bias);
  CHECK_FALSE(c.tied_embeddings);
}

TEST_CASE("SmolLM3 leaves RoPE out of some layers") {
  CHECK(ropes(parse(family("SmolLM3ForCausalLM", "smollm3"))) == "ggg-gg");
  ModelConfig c = parse(family("SmolLM3ForCausalLM", "smollm3",
                               R"({"no_rope_layers":[1,0,1,1,0,1],"use_sliding_window":false,"rope_theta":null})"));
  CHECK(ropes(c) == "g-gg-g");
  CHECK(c.rope.theta == 2e6);
  CHECK(c.tied_embeddings);
  check_refused(family("SmolLM3ForCausalLM", "smollm3", R"({"no_rope_layers":[1]})"), "", "no_rope_layers: is not");
  check_refused(family("SmolLM3ForCausalLM", "smollm3", R"({"no_rope_layers":[1,2,1,1,1,1]})"), "",
                "no_rope_layers: holds");
}

TEST_CASE("Phi-3 has fused weights, a window, and longrope with the length beside its block") {
  ModelConfig c = parse(family("Phi3ForCausalLM", "phi3", R"({"sliding_window":2047,"rms_norm_eps":null,
      "original_max_position_embeddings":64,"rope_scaling":{"type":"longrope","short_factor":[1,1,1,1,1,1,1,1],
      "long_factor":[1,2,3,4,5,6,7,8.5]}})"));
  CHECK(c.fused_qkv);
  CHECK(c.fused_gate_up);
  CHECK(windows(c) == Windows(6, 2047));
  CHECK(c.rms_norm_eps == 1e-5);
  CHECK(c.rope.scaling == RopeConfig::Scaling::longrope);
  CHECK(c.rope.original_max_positions == 64);
  CHECK(c.rope.long_factor.back() == 8.5);
  CHECK(c.rope.attention_factor == Approx(std::sqrt(1 + std::log(4.0) / std::log(64.0))));
  c = parse(family("Phi3ForCausalLM", "phi3", R"({"partial_rotary_factor":0.75})"));
  CHECK(rotary_dim(c.rope, c.head_dim) == 12);
}

TEST_CASE("Gemma 2 has soft caps, sandwich norms and every other layer windowed") {
  ModelConfig c = parse(family("Gemma2ForCausalLM", "gemma2", R"({"head_dim":16,"hidden_act":"gelu",
      "hidden_activation":"gelu_pytorch_tanh","sliding_window":16,"query_pre_attn_scalar":64,
      "attn_logit_softcapping":50.0,"final_logit_softcapping":30.0})"));
  CHECK(windows(c) == Windows{16, 0, 16, 0, 16, 0});
  CHECK(c.activation == Activation::gelu_tanh);
  CHECK(c.sandwich_norms);
  CHECK(c.norm_offset == 1);
  CHECK(c.embedding_scale == 8);
  CHECK(c.attention_scale == 0.125f);
  CHECK(c.attention_soft_cap == 50);
  CHECK(c.logit_soft_cap == 30);
  CHECK(c.tied_embeddings);
  CHECK_FALSE(c.qk_norm);
}

TEST_CASE("what only one type of layer would do to the context is refused") {
  const std::string head = R"({"head_dim":16,"hidden_act":null,"sliding_window":16,"rope_theta":null,"rope_parameters":{
      "full_attention":{"rope_type":"default","rope_theta":1000000},"sliding_attention":)";
  auto complaint = [&](const std::string& local) {
    try {
      parse(family("Gemma3ForCausalLM", "gemma3_text", head + local + "}}"));
      return std::string("accepted");
    } catch (const Error& error) {
      return std::string(error.what());
    }
  };
  CHECK_THAT(complaint(R"({"rope_type":"longrope","short_factor":[1,1,1,1,1,1,1,1],"long_factor":[1,1,1,1,1,1,1,1]})"),
             ContainsSubstring("longrope is not supported with layers"));
  CHECK_THAT(complaint(R"({"rope_type":"dynamic","factor":2,"original_max_position_embeddings":8})"),
             ContainsSubstring("sliding_attention.rope_type: changes the length of the context"));
  CHECK_THAT(complaint(R"({"rope_type":"default","partial_rotary_factor":0.5})"),
             ContainsSubstring("partial_rotary_factor: differs between"));
  CHECK(complaint(R"({"rope_type":"default"})") == "accepted");
}

TEST_CASE("Gemma 3's windowed layers have a RoPE of their own") {
  ModelConfig c = parse(family("Gemma3ForCausalLM", "gemma3_text", R"({"head_dim":16,"hidden_act":null,
      "sliding_window":16,"sliding_window_pattern":3,"rope_theta":1000000,"rope_local_base_freq":5000,
      "rope_scaling":{"rope_type":"linear","factor":8.0}})"));
  CHECK(windows(c) == Windows{16, 16, 0, 16, 16, 0});
  CHECK(ropes(c) == "llgllg");
  CHECK(c.qk_norm);
  CHECK(c.rope.scaling == RopeConfig::Scaling::linear);
  CHECK(c.rope.factor == 8);
  CHECK(c.local_rope.theta == 5000);
  CHECK(c.local_rope.scaling == RopeConfig::Scaling::none);
  ModelConfig five = parse(family("Gemma3ForCausalLM", "gemma3_text", R"({"head_dim":16,"hidden_act":null,
      "rope_theta":null,"sliding_window":16,"layer_types":["sliding_attention","sliding_attention","full_attention",
      "sliding_attention","sliding_attention","full_attention"],"rope_parameters":{
      "full_attention":{"rope_type":"linear","factor":8.0,"rope_theta":1000000},
      "sliding_attention":{"rope_type":"default","rope_theta":5000}}})"));
  CHECK(windows(five) == windows(c));
  CHECK(ropes(five) == ropes(c));
  CHECK(five.rope == c.rope);
  CHECK(five.local_rope == c.local_rope);
  check_refused(family("Gemma3ForCausalLM", "gemma3_text", R"({"use_bidirectional_attention":true})"), "",
                "use_bidirectional_attention: true is not supported");
}

TEST_CASE("yarn stretches the positions, dynamic keeps to the original ones") {
  ModelConfig c =
      parse(with(R"({"rope_scaling":{"type":"yarn","factor":4.0,"original_max_position_embeddings":256}})"));
  CHECK(c.max_positions == 1024);
  CHECK(c.rope.attention_factor == Approx(0.1 * std::log(4.0) + 1));
  c = parse(with(R"({"rope_scaling":{"type":"yarn","factor":4.0,"original_max_position_embeddings":64,
      "mscale":1.0,"mscale_all_dim":0.5,"truncate":false,"beta_fast":16}})"));
  CHECK(c.max_positions == 256);
  CHECK(c.rope.attention_factor == Approx((0.1 * std::log(4.0) + 1) / (0.05 * std::log(4.0) + 1)));
  CHECK_FALSE(c.rope.truncate);
  CHECK(c.rope.beta_fast == 16);
  c = parse(with(R"({"rope_scaling":{"type":"dynamic","factor":4.0}})"));
  CHECK(c.max_positions == 256);
  CHECK(c.rope.scaling == RopeConfig::Scaling::none);
  c = parse(with(R"({"rope_scaling":{"type":"dynamic","factor":4.0,"original_max_position_embeddings":64}})"));
  CHECK(c.max_positions == 64);
}

TEST_CASE("Every field of config.json arrives") {
  ModelConfig c = parse(with(R"({"head_dim":32,"attention_bias":true,"mlp_bias":true,"tie_word_embeddings":true,
      "hidden_act":"gelu_pytorch_tanh","rope_theta":500000,"torch_dtype":"float16","unknown":{"x":[1]}})"));
  CHECK(c.architecture == "LlamaForCausalLM");
  CHECK(c.hidden == 64);
  CHECK(c.layers == 2);
  CHECK(c.heads == 4);
  CHECK(c.kv_heads == 2);
  CHECK(c.head_dim == 32);
  CHECK(c.mlp == 128);
  CHECK(c.vocab == 100);
  CHECK(c.max_positions == 256);
  CHECK(c.rms_norm_eps == 1e-5);
  CHECK(c.activation == Activation::gelu_tanh);
  CHECK(c.tied_embeddings);
  CHECK(c.qkv_bias);
  CHECK(c.output_bias);
  CHECK(c.mlp_bias);
  CHECK(c.rope.theta == 500000.0);
  CHECK(c.rope.scaling == RopeConfig::Scaling::none);
  CHECK(c.checkpoint_dtype == DType::f16);
  CHECK(c.bos_id == 1);
  CHECK(c.eos_ids == std::vector<int32_t>{2});
}

TEST_CASE("Absent and null fields have transformers' defaults") {
  for (const char* name : {"num_key_value_heads", "head_dim", "rms_norm_eps", "hidden_act", "rope_theta",
                           "rope_scaling", "tie_word_embeddings", "torch_dtype", "eos_token_id", "bos_token_id",
                           "sliding_window", "quantization_config"}) {
    CAPTURE(name);
    for (const std::string& text : {without(name), with(Json{{name, nullptr}}.dump())}) CHECK_NOTHROW(parse(text));
  }
  ModelConfig c = parse(R"({"architectures":["LlamaForCausalLM"],"model_type":"llama","hidden_size":64,
    "num_hidden_layers":2,"num_attention_heads":4,"intermediate_size":128,"vocab_size":100,
    "max_position_embeddings":256,"head_dim":null})");
  CHECK(c.kv_heads == 4);
  CHECK(c.head_dim == 16);
  CHECK(c.rms_norm_eps == 1e-6);
  CHECK(c.activation == Activation::silu);
  CHECK(c.rope.theta == 10000.0);
  CHECK_FALSE(c.tied_embeddings);
  CHECK_FALSE(c.qkv_bias);
  CHECK_FALSE(c.bos_id.has_value());
  CHECK(c.eos_ids.empty());
}

TEST_CASE("Both spellings of a field are read") {
  CHECK(parse(with(R"({"torch_dtype":null,"dtype":"float32"})")).checkpoint_dtype == DType::f32);
  CHECK(parse(with(R"({"dtype":"bfloat16"})")).checkpoint_dtype == DType::bf16);
  CHECK(
      parse(with(R"({"rope_theta":null,"rope_parameters":{"rope_theta":5000.0,"rope_type":"default"}})")).rope.theta ==
      5000.0);
  CHECK(parse(with(R"({"rope_parameters":{"rope_theta":10000.0}})")).rope.theta == 10000.0);
  Json llama3 = Json::parse(kLlama3);
  llama3["type"] = "llama3";
  for (const Json& config : {Json{{"rope_scaling", llama3}}, Json{{"rope_parameters", llama3}},
                             Json{{"rope_parameters", llama3}, {"rope_scaling", llama3}}}) {
    CAPTURE(config.dump());
    RopeConfig rope = parse(with(config.dump())).rope;
    CHECK(rope.scaling == RopeConfig::Scaling::llama3);
    CHECK(rope.factor == 8.0);
    CHECK(rope.low_freq_factor == 1.0);
    CHECK(rope.high_freq_factor == 4.0);
    CHECK(rope.original_max_positions == 64);
    CHECK(rope.theta == 10000.0);
  }
}

TEST_CASE("Neutral values of fields that are not supported are accepted") {
  CHECK_NOTHROW(parse(with(R"({"pretraining_tp":2,"rope_interleaved":false,"partial_rotary_factor":1.0,
      "sliding_window":null,"use_sliding_window":false,"quantization_config":null})")));
}

TEST_CASE("EOS ids are the union of both files, ascending") {
  CHECK(parse(with(R"({"eos_token_id":[7,2,7]})"), R"({"eos_token_id":[5,2]})").eos_ids ==
        std::vector<int32_t>{2, 5, 7});
  CHECK(parse(without("eos_token_id"), R"({"eos_token_id":99})").eos_ids == std::vector<int32_t>{99});
  CHECK(parse(with(R"({"eos_token_id":0})"), R"({"eos_token_id":null})").eos_ids == std::vector<int32_t>{0});
  CHECK(parse(without("bos_token_id"), R"({"bos_token_id":3})").bos_id == 3);
  CHECK(parse(base().dump(), R"({"bos_token_id":3})").bos_id == 1);
  check_refused(base().dump(), R"({"eos_token_id":[100]})", "eos_token_id: 100 is not a token id");
  check_refused(base().dump(), R"({"bos_token_id":"1"})", "bos_token_id: is not an integer");
  check_refused(base().dump(), "[]", "is not an object");
}

TEST_CASE("generation_config.json gives defaults") {
  GenerationDefaults none = parse_generation_defaults("", "m");
  CHECK(none.do_sample);
  CHECK_FALSE(none.temperature.has_value());
  CHECK(parse_generation_defaults("{}", "m").do_sample);
  CHECK_FALSE(parse_generation_defaults(R"({"do_sample":false,"temperature":null})", "m").do_sample);
  GenerationDefaults all = parse_generation_defaults(
      R"({"do_sample":true,"temperature":0,"top_p":1,"top_k":0,"min_p":0.05,"repetition_penalty":1.1,"other":"x"})",
      "m");
  CHECK(all.temperature == 0.0);
  CHECK(all.top_p == 1.0);
  CHECK(all.top_k == 0);
  CHECK(all.min_p == 0.05);
  CHECK(all.repetition_penalty == 1.1);

  const Row rows[] = {
      {R"({"temperature":-0.1})", "temperature: is not between 0 and 100"},
      {R"({"temperature":"1"})", "temperature: is not a number"},
      {R"({"temperature":1e400})", "number overflow"},
      {R"({"top_p":1.01})", "top_p: is not between 0 and 1"},
      {R"({"top_p":-0.1})", "top_p: is not between 0 and 1"},
      {R"({"min_p":2})", "min_p: is not between 0 and 1"},
      {R"({"top_k":-1})", "top_k: is -1"},
      {R"({"top_k":50.0})", "top_k: is not an integer"},
      {R"({"top_k":1099511627776})", "top_k: is 1099511627776"},
      {R"({"repetition_penalty":0})", "repetition_penalty: is not above 0"},
      {R"({"do_sample":1})", "do_sample: is not true or false"},
      {R"({"do_sample":true,"do_sample":false})", "duplicate key"},
      {R"([1])", "is not an object"},
  };
  for (const Row& row : rows) {
    CAPTURE(row.config);
    try {
      parse_generation_defaults(row.config, "m");
      FAIL("accepted");
    } catch (const Error& e) {
      CHECK(e.code() == ExitCode::bad_model);
      CHECK_THAT(e.what(), ContainsSubstring(row.message));
      CHECK_THAT(e.what(), ContainsSubstring("m/generation_config.json: "));
    }
  }
}

}  // namespace
}  // namespace penstock
