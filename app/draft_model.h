// The model of --draft-model: read, and held against the model that it drafts for.
#pragma once
#include <optional>
#include <string>

#include "engine/fleet.h"
#include "engine/model/model_folder.h"

namespace penstock {

// Empty without a folder (""). `model`: of the run. With tokenizers in both folders they must make the same ids; padded
// vocabularies may differ.
// Errors: Error(bad_model) saying how the tokenizers differ; as the readers say.
std::optional<DraftFolder> read_draft_model(const std::string& folder, const ModelFolder& model,
                                            ModelFiles wanted = ModelFiles::whole);

}  // namespace penstock
