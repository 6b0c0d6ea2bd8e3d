// The small files of a model folder, read whole. The weights are SafetensorsFolder's.
#pragma once
#include <string>

namespace penstock {

// The files' bytes; empty when the folder does not have that file.
struct ModelFolder {
  std::string path;
  std::string config, generation_config, tokenizer, tokenizer_config, special_tokens_map;
  std::string chat_template_jinja, tool_use_jinja;  // tool_use_jinja: additional_chat_templates/tool_use.jinja
  std::string chat_template_json;                   // as processors of older releases wrote it
};

// What a folder may hold for us, beside the shards that an index names.
inline constexpr const char* kModelFileNames[] = {"config.json",
                                                  "tokenizer.json",
                                                  "generation_config.json",
                                                  "tokenizer_config.json",
                                                  "special_tokens_map.json",
                                                  "chat_template.jinja",
                                                  "additional_chat_templates/tool_use.jinja",
                                                  "chat_template.json",
                                                  "model.safetensors",
                                                  "model.safetensors.index.json"};

// `shape` is a folder that needs no more than config.json (samples/shapes).
enum class ModelFiles { whole, shape };

// Errors: Error(not_found) when the folder, config.json or (unless only the shape is wanted) tokenizer.json is missing;
// Error(bad_model) naming the file when it leaves the folder, is not a regular file, is empty, is larger than 16 MiB
// (tokenizer.json: 256 MiB), or is a Git-LFS pointer or HTML page; Error(io).
ModelFolder read_model_folder(const std::string& path, ModelFiles wanted = ModelFiles::whole);

}  // namespace penstock
