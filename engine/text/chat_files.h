// What a model folder's files say about chats: its templates and the special tokens that templates name.
// All errors are Error(bad_model), naming file and field.
#pragma once
#include <string>
#include <vector>

#include "engine/json.h"
#include "engine/model/model_folder.h"

namespace penstock::text {

// tokenizer_config.json; an empty object when the folder has none.
Json parse_tokenizer_config(const ModelFolder& folder);

// bos_token, eos_token, … and the model's own (image_token, …) as templates see them. special_tokens_map.json counts
// only beside a tokenizer_config.json that does not list its added tokens, and then wins, as in transformers.
OrderedJson read_special_tokens(const ModelFolder& folder, const Json& config);

struct NamedTemplate {
  std::string name, source, file;
};

// In order of precedence: `override`; chat_template.jinja and additional_chat_templates/tool_use.jinja together;
// tokenizer_config.json; chat_template.json.
std::vector<NamedTemplate> find_templates(const ModelFolder& folder, const Json& config, const std::string& override);

}  // namespace penstock::text
