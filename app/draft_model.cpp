#include "app/draft_model.h"

#include "engine/text/tokenizer_ids.h"

namespace penstock {

namespace {

int64_t common_ids(const ModelFolder& draft, const ModelFolder& model) {
  if (draft.tokenizer.empty() || model.tokenizer.empty()) return 0;
  const TokenizerIds ids(draft.tokenizer, draft.path + "/tokenizer.json");
  if (draft.tokenizer == model.tokenizer) return ids.count();
  const std::string difference = ids.difference_from(TokenizerIds(model.tokenizer, model.path + "/tokenizer.json"));
  if (difference.empty()) return ids.count();
  throw Error(ExitCode::bad_model, "--draft-model: the tokenizer of " + draft.path + " is another than that of " +
                                       model.path + ", so its drafts would mean something else: " + difference);
}

}  // namespace

std::optional<DraftFolder> read_draft_model(const std::string& folder, const ModelFolder& model, ModelFiles wanted) {
  if (folder.empty()) return {};
  const ModelFolder draft = read_model_folder(folder, wanted);
  return DraftFolder{folder, parse_model_config(draft.config, draft.generation_config, draft.path),
                     common_ids(draft, model)};
}

}  // namespace penstock
