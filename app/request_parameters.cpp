// The table of parameters: what each may be, and where it goes.
#include <algorithm>
#include <iterator>
#include <limits>
#include <string_view>
#include <unordered_map>

#include "app/request_fields.h"

namespace penstock {
namespace {

constexpr int64_t kInt32Max = std::numeric_limits<int32_t>::max();
constexpr size_t kMostStops = 64, kMostStopBytes = 1024, kMostStopIds = 1024;
constexpr int64_t kMostLogprobs = 20;
// How OpenAI, vLLM, SGLang and llama.cpp are asked for answers of a given form.
constexpr std::string_view kConstraints[] = {
    "functions",          "function_call", "guided_json", "guided_regex", "guided_choice", "guided_grammar",
    "structured_outputs", "json_schema",   "grammar",     "ebnf",         "regex"};

std::vector<std::string> read_stop(const std::string& field, const OrderedJson& value) {
  auto one = [](const std::string& name, const OrderedJson& item) {
    const std::string& text = read_string(name, item);
    if (text.empty() || text.size() > kMostStopBytes)
      throw FieldError("invalid_value", name,
                       quote(name) + " must have from 1 to " + std::to_string(kMostStopBytes) + " bytes, not " +
                           std::to_string(text.size()));
    return text;
  };
  if (value.is_string()) return {one(field, value)};
  if (!value.is_array()) throw_type(field, "a string or an array of strings", value);
  if (value.size() > kMostStops)
    throw FieldError(
        "invalid_value", field,
        quote(field) + " may have " + std::to_string(kMostStops) + " strings, not " + std::to_string(value.size()));
  std::vector<std::string> stops;
  for (size_t i = 0; i < value.size(); ++i) stops.push_back(one(element(field, i), value[i]));
  return stops;
}

std::vector<int32_t> read_stop_ids(const std::string& field, const OrderedJson& value, const ParseLimits& limits) {
  if (read_array(field, value).size() > kMostStopIds)
    throw FieldError(
        "invalid_value", field,
        quote(field) + " may have " + std::to_string(kMostStopIds) + " ids, not " + std::to_string(value.size()));
  std::vector<int32_t> ids;
  for (size_t i = 0; i < value.size(); ++i)
    ids.push_back(static_cast<int32_t>(read_integer(element(field, i), value[i], {0, limits.vocab - 1})));
  return ids;
}

int32_t read_bias_id(const std::string& field, const std::string& key, const ParseLimits& limits) {
  bool decimal = !key.empty() && key.size() <= 10 && key.find_first_not_of("0123456789") == key.npos &&
                 (key == "0" || key[0] != '0');
  if (!decimal || std::stoll(key) >= limits.vocab)
    throw FieldError("invalid_value", field,
                     "the keys of " + quote(field) + " must be token ids from 0 to " +
                         std::to_string(limits.vocab - 1) + ", not " + quote(key));
  return static_cast<int32_t>(std::stoll(key));
}

std::map<int32_t, double> read_logit_bias(const std::string& field, const OrderedJson& value,
                                          const ParseLimits& limits) {
  std::map<int32_t, double> biases;
  for (const auto& [key, bias] : read_object(field, value).items()) {
    int32_t id = read_bias_id(field, key, limits);
    biases[id] = read_number(field + "." + key, bias, {-100, 100});
  }
  return biases;
}

OrderedJson read_template_kwargs(const std::string& field, const OrderedJson& value) {
  for (const char* own : {"messages", "tools", "add_generation_prompt", "continue_final_message", "chat_template"})
    if (read_object(field, value).contains(own))
      throw FieldError("invalid_value", field + "." + own, quote(field) + " must not set " + quote(own));
  return value;
}

void refuse(const std::string& field, const std::string& neutral, const OrderedJson& value) {
  throw FieldError("unsupported_parameter", field,
                   quote(field) + " is supported only as " + neutral + ", not " + shown(value));
}

void read_response_format(const std::string& field, const OrderedJson& value) {
  if (read_object(field, value) != OrderedJson{{"type", "text"}}) refuse(field, R"({"type":"text"})", value);
}

void read_tool_choice(const std::string& field, const OrderedJson& value) {
  if (value != "none" && value != "auto") refuse(field, R"("none" or "auto")", value);
}

}  // namespace

struct ParameterReader::Entry {
  enum Where { chat = 1, completion = 2, both = 3 } where;
  void (*read)(ParameterReader& self, const std::string& field, const OrderedJson& value);
};

const ParameterReader::Entry* ParameterReader::find(const std::string& name) {
  using Self = ParameterReader&;
  using Field = const std::string&;
  using Value = const OrderedJson&;
  constexpr auto ignore = [](Self, Field, Value) {};
  constexpr auto max_tokens = [](Self s, Field f, Value v) { s.read_max_tokens(f, v); };
  constexpr auto logprobs = [](Self s, Field f, Value v) { s.read_logprobs(f, v); };
  static const std::unordered_map<std::string, Entry> table = {
      {"max_tokens", {Entry::both, max_tokens}},
      {"max_completion_tokens", {Entry::both, max_tokens}},
      {"temperature",
       {Entry::both,
        [](Self s, Field f, Value v) {
          s.request_.parameters.temperature = read_number(f, v, {0, 100});
        }}},
      {"top_p",
       {Entry::both,
        [](Self s, Field f, Value v) {
          s.request_.parameters.top_p = read_number(f, v, {0, 1});
        }}},
      {"min_p",
       {Entry::both,
        [](Self s, Field f, Value v) {
          s.request_.parameters.min_p = read_number(f, v, {0, 1});
        }}},
      {"top_k",
       {Entry::both,
        [](Self s, Field f, Value v) {  // -1, as vLLM has it, and 0 mean all
          s.request_.parameters.top_k = static_cast<int32_t>(std::max<int64_t>(0, read_integer(f, v, {-1, kInt32Max})));
        }}},
      {"n",
       {Entry::both,
        [](Self s, Field f, Value v) {
          s.request_.parameters.n = static_cast<int32_t>(read_integer(f, v, {1, 128}));
        }}},
      {"seed", {Entry::both, [](Self s, Field f, Value v) { s.request_.parameters.seed = read_unsigned(f, v); }}},
      {"stop", {Entry::both, [](Self s, Field f, Value v) { s.request_.parameters.stop = read_stop(f, v); }}},
      {"stop_token_ids",
       {Entry::both,
        [](Self s, Field f, Value v) { s.request_.parameters.stop_token_ids = read_stop_ids(f, v, s.limits_); }}},
      {"ignore_eos",
       {Entry::both, [](Self s, Field f, Value v) { s.request_.parameters.ignore_eos = read_bool(f, v); }}},
      {"min_tokens",
       {Entry::both,
        [](Self s, Field f, Value v) {
          s.request_.parameters.min_tokens = static_cast<int32_t>(read_integer(f, v, {0, kInt32Max}));
        }}},
      {"presence_penalty",
       {Entry::both,
        [](Self s, Field f, Value v) {
          s.request_.parameters.presence_penalty = read_number(f, v, {-2, 2});
        }}},
      {"frequency_penalty",
       {Entry::both,
        [](Self s, Field f, Value v) {
          s.request_.parameters.frequency_penalty = read_number(f, v, {-2, 2});
        }}},
      {"repetition_penalty",
       {Entry::both,
        [](Self s, Field f, Value v) {
          s.request_.parameters.repetition_penalty = read_number(f, v, {0, 10, true});
        }}},
      {"logit_bias",
       {Entry::both,
        [](Self s, Field f, Value v) { s.request_.parameters.logit_bias = read_logit_bias(f, v, s.limits_); }}},
      {"logprobs", {Entry::both, logprobs}},
      {"top_logprobs",
       {Entry::chat,
        [](Self s, Field f, Value v) {
          s.top_logprobs_ = static_cast<int32_t>(read_integer(f, v, {0, kMostLogprobs}));
        }}},
      {"echo", {Entry::completion, [](Self s, Field f, Value v) { s.request_.parameters.echo = read_bool(f, v); }}},
      {"tools", {Entry::chat, [](Self s, Field f, Value v) { s.request_.tools = read_tools(f, v); }}},
      {"chat_template_kwargs",
       {Entry::chat, [](Self s, Field f, Value v) { s.request_.template_kwargs = read_template_kwargs(f, v); }}},
      {"add_generation_prompt",
       {Entry::chat, [](Self s, Field f, Value v) { s.generation_prompt_ = read_bool(f, v); }}},
      {"continue_final_message",
       {Entry::chat, [](Self s, Field f, Value v) { s.request_.continue_final_message = read_bool(f, v); }}},
      {"model", {Entry::both, [](Self s, Field f, Value v) { s.request_.model = read_string(f, v); }}},
      {"user", {Entry::both, ignore}},
      {"metadata", {Entry::both, ignore}},
      {"store", {Entry::both, ignore}},
      {"service_tier", {Entry::both, ignore}},
      {"stream",
       {Entry::both,
        [](Self, Field f, Value v) {
          if (read_bool(f, v)) refuse(f, "false", v);
        }}},
      {"response_format", {Entry::both, [](Self, Field f, Value v) { read_response_format(f, v); }}},
      {"tool_choice", {Entry::chat, [](Self, Field f, Value v) { read_tool_choice(f, v); }}},
  };
  auto found = table.find(name);
  return found == table.end() ? nullptr : &found->second;
}

void ParameterReader::read(const std::string& field, const OrderedJson& value) {
  const Entry* entry = find(field);
  if (std::find(std::begin(kConstraints), std::end(kConstraints), field) != std::end(kConstraints))
    throw FieldError("unsupported_parameter", field,
                     quote(field) + " is not supported: no answer is held to a grammar, a schema or a list");
  if (!entry) throw FieldError("unknown_parameter", field, "unknown field " + quote(field));
  if (!(entry->where & (chat_ ? Entry::chat : Entry::completion)))
    throw FieldError("unknown_parameter", field,
                     quote(field) + " is not a field of " + (chat_ ? "chats" : "completions"));
  entry->read(*this, field, value);
}

void ParameterReader::read_max_tokens(const std::string& field, const OrderedJson& value) {
  auto given = static_cast<int32_t>(read_integer(field, value, {0, kInt32Max}));
  auto& max_tokens = request_.parameters.max_tokens;
  if (max_tokens && *max_tokens != given)
    throw FieldError("conflicting_parameters", field,
                     R"("max_tokens" and "max_completion_tokens" differ: )" + std::to_string(*max_tokens) + " and " +
                         std::to_string(given));
  max_tokens = given;
}

void ParameterReader::read_logprobs(const std::string& field, const OrderedJson& value) {
  if (chat_)
    chat_logprobs_ = read_bool(field, value);
  else
    request_.parameters.logprobs = static_cast<int32_t>(read_integer(field, value, {0, kMostLogprobs}));
}

void ParameterReader::finish() {
  Parameters& parameters = request_.parameters;
  if (top_logprobs_.value_or(0) > 0 && !chat_logprobs_)
    throw FieldError("conflicting_parameters", "top_logprobs", R"("top_logprobs" needs "logprobs": true)");
  if (chat_logprobs_) parameters.logprobs = top_logprobs_.value_or(0);

  if (parameters.max_tokens == 0 && !parameters.echo)
    throw FieldError("invalid_value", "max_tokens", R"("max_tokens" must be 1 or more; 0 only with "echo": true)");
  if (parameters.max_tokens && *parameters.max_tokens > 0 && parameters.min_tokens > *parameters.max_tokens)
    throw FieldError("conflicting_parameters", "min_tokens",
                     R"("min_tokens" is )" + std::to_string(parameters.min_tokens) + R"(, above "max_tokens", )" +
                         std::to_string(*parameters.max_tokens));

  if (request_.continue_final_message && generation_prompt_.value_or(false))
    throw FieldError("conflicting_parameters", "continue_final_message",
                     R"("continue_final_message" and "add_generation_prompt" exclude each other)");
  request_.add_generation_prompt = generation_prompt_.value_or(!request_.continue_final_message);
}

}  // namespace penstock
