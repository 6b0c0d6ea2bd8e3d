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
      {with(R"({"architectures":["NewForCausalLM"]})"), "architectures: unknown: \"NewForCausalLM\""},
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
      {with(R"({"rope_theta":0})"), "rope_theta: is not above 0"},  // C11
      {with(R"({"rope_theta":-1.5})"), "rope_theta: is not above 0"},
      {with(R"({"rope_theta":"10000"})"), "rope_theta: is not a number"},
      {R"({"rope_theta":1e400})", "number overflow"},
      {R"({"rope_theta":NaN})", "invalid literal"},
      {with(R"({"rope_scaling":{"type":"linear","factor":2.0}})"), "rope_scaling.rope_type: \"linear\" is not"},  // C12
      {with(R"({"rope_scaling":{"rope_type":"yarn","factor":2.0}})"), "rope_scaling.rope_type: \"yarn\" is not"},
      {with(R"({"rope_scaling":{"rope_type":"dynamic"}})"), "rope_scaling.rope_type: \"dynamic\""},
      {with(R"({"rope_parameters":{"rope_type":"longrope"}})"), "rope_parameters.rope_type: \"longrope\""},
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
      {llama3_with(R"({"original_max_position_embeddings":null})"), "original_max_position_embeddings: is missing"},
      {llama3_with(R"({"original_max_position_embeddings":64.0})"),
       "original_max_position_embeddings: is not an integer"},
      {llama3_with(R"({"attention_factor":1.5})"), "rope_scaling.\"attention_factor\": is not supported"},
      {with(R"({"rope_parameters":{"rope_theta":500000.0}})"), "rope_parameters: its rope_theta differs"},
      {with(R"({"rope_parameters":{"rope_type":"default"},"rope_scaling":)" + std::string(kLlama3) + "}"),
       "rope_scaling: differs from rope_parameters"},
      {with(R"({"rope_parameters":{"partial_rotary_factor":0.5}})"), "partial_rotary_factor"},
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
      {R"({"a":)" + std::string(100'000, '['), "nested deeper"},                    // C19
      {R"({"vocab_size":1,"vocab_size":2})", "duplicate key \"vocab_size\""},       // C20
      {with(R"({"sliding_window":-1})"), "sliding_window: is not supported (-1)"},  // C21
      {with(R"({"sliding_window":4096})"), "sliding_window: is not supported (4096)"},
      {with(R"({"use_sliding_window":true})"), "use_sliding_window: true is not supported"},
      {with(R"({"hidden_act":"gelu"})"), "hidden_act: \"gelu\" is not supported"},
      {with(R"({"hidden_act":"relu"})"), "hidden_act: \"relu\" is not supported"},
      {with(R"({"hidden_activation":"gelu_pytorch_tanh"})"),
       "hidden_activation: is \"gelu_pytorch_tanh\", but hidden_act"},
      {with(R"({"pretraining_tp":2})"), "pretraining_tp: 2 is not supported; only 1 is"},
      {with(R"({"pretraining_tp":true})"), "pretraining_tp: true is not supported"},
      {with(R"({"rope_interleaved":true})"), "rope_interleaved: true is not supported"},
      {with(R"({"rope_interleaved":0})"), "rope_interleaved: 0 is not supported"},
      {with(R"({"partial_rotary_factor":0.5})"), "partial_rotary_factor: 0.5 is not supported"},
      {with(R"({"attn_logit_softcapping":50.0})"), "attn_logit_softcapping: is not supported (50.0)"},
      {with(R"({"final_logit_softcapping":30.0})"), "final_logit_softcapping: is not supported"},
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

TEST_CASE("Architectures that are known but not there yet are named") {
  for (const char* name : {"MistralForCausalLM", "Qwen2ForCausalLM", "Qwen3ForCausalLM", "Phi3ForCausalLM",
                           "Gemma2ForCausalLM", "Gemma3ForCausalLM", "SmolLM3ForCausalLM"})
    check_refused(with(Json{{"architectures", {name}}}.dump()), "", std::string(name) + " is not supported yet");
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
  CHECK(parse(with(R"({"hidden_act":null,"hidden_activation":"gelu_pytorch_tanh"})")).activation ==
        Activation::gelu_tanh);
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
  CHECK_NOTHROW(parse(with(R"({"pretraining_tp":1,"rope_interleaved":false,"partial_rotary_factor":1.0,
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
      {R"({"temperature":-0.1})", "temperature: is below 0"},
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
