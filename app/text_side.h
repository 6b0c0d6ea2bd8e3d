// A model folder without its weights: everything that turns lines into token ids and back. Immutable, for any thread.
#pragma once
#include <cstdint>
#include <optional>
#include <string>

#include "app/flags.h"
#include "app/prepare.h"
#include "engine/model/model_config.h"
#include "engine/model/model_folder.h"
#include "engine/text/text_model.h"

namespace penstock {

struct TextSide {
  // Reads the small files alone, in milliseconds. Errors: Error(not_found), Error(bad_model).
  TextSide(const ModelFolder& folder, const ModelConfig& config, const ModelFlags& model, const SamplingFlags& sampling,
           int32_t max_context);

  TextModel text;
  RequestDefaults defaults;
  PrepareOptions options;
  ParseLimits limits;
};

// A line that gets an error record.
struct RefusedLine {
  RecordError error;
  std::string request_id;
};

// --max-context, or the model's own maximum. Errors: Error(usage) when the flag exceeds what the model was made for.
int32_t resolve_max_context(const EngineConfig& engine, const ModelConfig& model);

// Whether the folder has weight files, or only the shape of a model. Errors: as FolderRoot.
bool has_weights(const std::string& folder);

// The per-record boundary: whatever goes wrong in there becomes that record's error and the run goes on.
std::variant<PreparedRequest, RecordError> prepare_record(Request request, const Parameters& resolved,
                                                          const TextSide& side);

struct FinishedRecord {
  std::string text;                       // one line
  std::optional<std::string> error_code;  // of an error record
  int64_t prompt_tokens = 0, completion_tokens = 0;
};
FinishedRecord complete_record(const PreparedRequest& prepared, const std::vector<SequenceOutput>& outputs,
                               const TextSide& side, bool timings);

}  // namespace penstock
