// Messages, tools and prompts: what a request asks about.
#include "app/request_fields.h"

namespace penstock {
namespace {

constexpr size_t kMostPrompts = 2048;

std::string read_part(const std::string& field, const OrderedJson& part) {
  auto type = read_object(field, part).find("type");
  if (type == part.end()) throw FieldError("missing_field", field + ".type", quote(field) + R"( has no "type")");
  if (*type != "text")
    throw FieldError("unsupported_content", field + ".type",
                     quote(field) + R"( must be a part of type "text", not )" + shown(*type));
  auto text = part.find("text");
  if (text == part.end()) throw FieldError("missing_field", field + ".text", quote(field) + R"( has no "text")");
  return read_string(field + ".text", *text);
}

// Most templates treat content as a string, and vLLM and llama.cpp join parts for those by newlines as well.
std::string join_parts(const std::string& field, const OrderedJson& parts) {
  std::string text;
  for (size_t i = 0; i < parts.size(); ++i) {
    if (i > 0) text += '\n';
    text += read_part(element(field, i), parts[i]);
  }
  return text;
}

OrderedJson read_message(const std::string& field, const OrderedJson& value) {
  OrderedJson message = read_object(field, value);
  auto role = message.find("role");
  if (role == message.end()) throw FieldError("missing_field", field + ".role", quote(field) + R"( has no "role")");
  if (read_string(field + ".role", *role).empty()) throw_value(field + ".role", "a non-empty string", *role);

  auto content = message.find("content");
  if (content == message.end() || content->is_null() || content->is_string()) return message;
  if (!content->is_array()) throw_type(field + ".content", "a string or an array of text parts", *content);
  *content = join_parts(field + ".content", *content);
  return message;
}

// Calls stay text that the model is free to write, so what only constrained answers could keep is refused.
void check_tool(const std::string& field, const OrderedJson& tool) {
  auto refuse = [](const std::string& name, const char* neutral, const OrderedJson& value) {
    throw FieldError("unsupported_parameter", name,
                     quote(name) + " is supported only as " + neutral + ", not " + shown(value));
  };
  auto type = read_object(field, tool).find("type");
  if (type != tool.end() && !type->is_null() && *type != "function") refuse(field + ".type", "\"function\"", *type);
  auto function = tool.find("function");
  if (function == tool.end() || !function->is_object()) return;
  auto strict = function->find("strict");
  if (strict != function->end() && *strict == true) refuse(field + ".function.strict", "false", *strict);
}

bool is_list_of(const OrderedJson& value, bool (OrderedJson::*is_type)() const noexcept) {
  return value.is_array() && !value.empty() && (value[0].*is_type)();
}

}  // namespace

OrderedJson read_messages(const std::string& field, const OrderedJson& value) {
  if (read_array(field, value).empty()) throw_value(field, "an array of at least one message", value);
  OrderedJson messages = OrderedJson::array();
  for (size_t i = 0; i < value.size(); ++i) messages.push_back(read_message(element(field, i), value[i]));
  return messages;
}

OrderedJson read_tools(const std::string& field, const OrderedJson& value) {
  for (size_t i = 0; i < read_array(field, value).size(); ++i) check_tool(element(field, i), value[i]);
  return value.empty() ? OrderedJson() : value;  // no tools: what templates test for is null
}

std::vector<int32_t> read_token_ids(const std::string& field, const OrderedJson& value, const ParseLimits& limits) {
  if (read_array(field, value).empty()) throw_value(field, "an array of at least one token id", value);
  std::vector<int32_t> ids;
  ids.reserve(value.size());
  for (const OrderedJson& id : value) {
    bool inside = id.is_number_unsigned() && id.get<uint64_t>() < static_cast<uint64_t>(limits.vocab);
    if (!inside)
      read_integer(element(field, ids.size()), id, {0, limits.vocab - 1});  // throws, with the element's name
    ids.push_back(static_cast<int32_t>(id.get<uint64_t>()));
  }
  return ids;
}

std::vector<Prompt> read_prompts(const std::string& field, const OrderedJson& value, const ParseLimits& limits) {
  if (value.is_string()) return {Prompt{value.get<std::string>(), {}}};
  if (is_list_of(value, &OrderedJson::is_number)) return {Prompt{{}, read_token_ids(field, value, limits)}};
  bool texts = is_list_of(value, &OrderedJson::is_string);
  if (!texts && !is_list_of(value, &OrderedJson::is_array))
    throw_type(field, "a string, an array of strings, an array of token ids, or an array of such arrays", value);
  if (value.size() > kMostPrompts)
    throw FieldError(
        "invalid_value", field,
        quote(field) + " may have " + std::to_string(kMostPrompts) + " prompts, not " + std::to_string(value.size()));
  std::vector<Prompt> prompts;
  for (size_t i = 0; i < value.size(); ++i) {
    std::string name = element(field, i);
    prompts.push_back(texts ? Prompt{read_string(name, value[i]), {}}
                            : Prompt{{}, read_token_ids(name, value[i], limits)});
  }
  return prompts;
}

}  // namespace penstock
