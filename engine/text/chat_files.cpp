#include "engine/text/chat_files.h"

#include <algorithm>
#include <iterator>

#include "kernels/error.h"

namespace penstock::text {
namespace {

constexpr const char* kConfig = "tokenizer_config.json";
constexpr const char* kStandardTokens[] = {"bos_token", "eos_token", "unk_token", "sep_token",
                                           "pad_token", "cls_token", "mask_token"};

// One of the folder's JSON files, for messages that name it.
struct File {
  const ModelFolder& folder;
  const char* name;

  std::string place(const std::string& field) const { return folder.path + "/" + name + ": " + field; }
  [[noreturn]] void fail(const std::string& complaint) const { throw Error(ExitCode::bad_model, place(complaint)); }
};

Json parse_object(const File& file, const std::string& bytes) {
  if (bytes.empty()) return Json::object();
  try {
    Json parsed = parse_json(bytes);
    if (parsed.is_object()) return parsed;
  } catch (const JsonError& e) {
    file.fail("byte " + std::to_string(e.byte_offset) + ": " + e.what());
  }
  file.fail("must be a JSON object");
}

// A special token is written as a text, or as the tokenizer's AddedToken: {"content": text, …}.
const Json* token_content(const Json& value) {
  if (value.is_string()) return &value;
  if (!value.is_object()) return nullptr;
  auto content = value.find("content");
  return content != value.end() && content->is_string() ? &*content : nullptr;
}

std::string token_text(const File& file, const std::string& field, const Json& value) {
  const Json* content = token_content(value);
  if (!content) file.fail(field + R"( must be a string or {"content": string})");
  return content->get<std::string>();
}

// Adds what `source` names to `tokens`; null takes nothing away.
void add_tokens(OrderedJson& tokens, const File& file, const Json& source) {
  for (const auto& [name, value] : source.items()) {
    bool standard =
        std::find(std::begin(kStandardTokens), std::end(kStandardTokens), name) != std::end(kStandardTokens);
    if (standard && !value.is_null())
      tokens[name] = token_text(file, name, value);
    else if (!standard && name.ends_with("_token") && token_content(value))
      tokens[name] = *token_content(value);
  }
  auto extra = source.find("extra_special_tokens");
  if (extra != source.end() && extra->is_object())
    for (const auto& [name, value] : extra->items())
      tokens[name] = token_text(file, "extra_special_tokens." + name, value);

  auto additional = source.find("additional_special_tokens");
  if (additional == source.end() || additional->is_null()) return;
  if (!additional->is_array()) file.fail("additional_special_tokens must be an array");
  OrderedJson& list = tokens["additional_special_tokens"] = OrderedJson::array();
  for (const Json& token : *additional) list.push_back(token_text(file, "additional_special_tokens", token));
}

// "chat_template": a text, or an array of named ones.
std::vector<NamedTemplate> templates_in(const File& file, const Json& object) {
  auto value = object.find("chat_template");
  if (value == object.end() || value->is_null()) return {};
  std::string place = file.place("chat_template");
  if (value->is_string()) return {{"default", value->get<std::string>(), place}};
  auto text_in = [](const Json& entry, const char* key) {
    return entry.is_object() && entry.contains(key) && entry[key].is_string();
  };
  std::vector<NamedTemplate> templates;
  for (const Json& entry : *value) {
    if (!value->is_array() || !text_in(entry, "name") || !text_in(entry, "template"))
      file.fail(R"(chat_template must be a string or an array of {"name": string, "template": string})");
    templates.push_back({entry["name"], entry["template"], place + " " + quote(entry["name"].get<std::string>())});
  }
  return templates;
}

}  // namespace

Json parse_tokenizer_config(const ModelFolder& folder) {
  return parse_object({folder, kConfig}, folder.tokenizer_config);
}

OrderedJson read_special_tokens(const ModelFolder& folder, const Json& config) {
  OrderedJson tokens = OrderedJson::object();
  add_tokens(tokens, {folder, kConfig}, config);
  File map{folder, "special_tokens_map.json"};
  if (!config.contains("added_tokens_decoder")) add_tokens(tokens, map, parse_object(map, folder.special_tokens_map));
  return tokens;
}

std::vector<NamedTemplate> find_templates(const ModelFolder& folder, const Json& config, const std::string& override) {
  if (!override.empty()) return {{"default", override, "--chat-template"}};
  std::vector<NamedTemplate> templates;
  if (!folder.chat_template_jinja.empty())
    templates.push_back({"default", folder.chat_template_jinja, folder.path + "/chat_template.jinja"});
  if (!folder.tool_use_jinja.empty())
    templates.push_back({"tool_use", folder.tool_use_jinja, folder.path + "/additional_chat_templates/tool_use.jinja"});
  if (templates.empty()) templates = templates_in({folder, kConfig}, config);
  File json{folder, "chat_template.json"};
  if (templates.empty()) templates = templates_in(json, parse_object(json, folder.chat_template_json));
  return templates;
}

}  // namespace penstock::text
