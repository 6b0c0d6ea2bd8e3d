#include "engine/model/model_folder.h"

#include "engine/model/folder_file.h"
#include "kernels/error.h"

namespace penstock {
namespace {

constexpr uint64_t kMaxBytes = 16 << 20;
constexpr uint64_t kMaxTokenizerBytes = 256 << 20;

std::string read_if_present(const FolderRoot& root, const std::string& name, uint64_t cap = kMaxBytes) {
  auto file = root.open(name);
  return file ? file->read_text(cap) : std::string();
}

}  // namespace

ModelFolder read_model_folder(const std::string& path, ModelFiles wanted) {
  FolderRoot root(path);
  ModelFolder folder;
  folder.path = root.path();
  folder.config = read_if_present(root, "config.json");
  if (folder.config.empty()) throw Error(ExitCode::not_found, root.path() + ": has no config.json");
  folder.tokenizer = read_if_present(root, "tokenizer.json", kMaxTokenizerBytes);
  if (folder.tokenizer.empty() && wanted == ModelFiles::whole)
    throw Error(ExitCode::not_found, root.path() + ": has no tokenizer.json (a tokenizer.model alone is not enough)");
  folder.generation_config = read_if_present(root, "generation_config.json");
  folder.tokenizer_config = read_if_present(root, "tokenizer_config.json");
  folder.special_tokens_map = read_if_present(root, "special_tokens_map.json");
  folder.chat_template_jinja = read_if_present(root, "chat_template.jinja");
  folder.tool_use_jinja = read_if_present(root, "additional_chat_templates/tool_use.jinja");
  folder.chat_template_json = read_if_present(root, "chat_template.json");
  return folder;
}

}  // namespace penstock
