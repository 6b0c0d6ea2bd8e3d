#include "app/text_side.h"

#include <exception>

#include "engine/model/folder_file.h"
#include "kernels/error.h"

namespace penstock {

namespace {

RecordError internal_error(const Request& request, const char* what) {
  RecordError error;
  error.line = request.line;
  error.id = request.id;
  error.kind = request.kind;
  error.batch_line = request.kind == RequestKind::batch_chat || request.kind == RequestKind::batch_completion;
  error.status = 500;
  error.code = "internal_error";
  error.message = "line " + std::to_string(request.line) + ": " + what;
  return error;
}

RequestDefaults with_generation(RequestDefaults defaults, const ModelFolder& folder) {
  defaults.generation = parse_generation_defaults(folder.generation_config, folder.path);
  return defaults;
}

}  // namespace

TextSide::TextSide(const ModelFolder& folder, const ModelConfig& config, const ModelFlags& model,
                   const SamplingFlags& sampling, int32_t max_context)
    : text(folder, model.chat_template), defaults(with_generation(sampling.defaults, folder)) {
  options.max_context = max_context;
  options.seed = sampling.seed;
  options.eos_ids = config.eos_ids;
  options.literal_special_tokens = model.literal_special_tokens;
  options.vocab = limits.vocab = static_cast<int32_t>(config.vocab);
}

int32_t resolve_max_context(const EngineConfig& engine, const ModelConfig& model) {
  if (engine.max_context == 0) return static_cast<int32_t>(model.max_positions);
  if (engine.max_context <= model.max_positions) return engine.max_context;
  throw Error(ExitCode::usage, "--max-context: the model was made for " + std::to_string(model.max_positions) +
                                   " tokens, not " + std::to_string(engine.max_context));
}

bool has_weights(const std::string& folder) {
  const FolderRoot root(folder);
  return root.open("model.safetensors") || root.open("model.safetensors.index.json");
}

std::variant<PreparedRequest, RecordError> prepare_record(Request request, const Parameters& resolved,
                                                          const TextSide& side) {
  const Request kept = [&] {  // for the message; the texts are prepare's
    Request names;
    names.line = request.line, names.id = request.id, names.kind = request.kind;
    return names;
  }();
  try {
    return prepare(std::move(request), resolved, side.text, side.options);
  } catch (const std::exception& error) {
    return internal_error(kept, error.what());
  }
}

FinishedRecord complete_record(const PreparedRequest& prepared, const std::vector<SequenceOutput>& outputs,
                               const TextSide& side, bool timings) {
  const auto refuse = [&](const RecordError& error) {
    return FinishedRecord{format_error(error, prepared.request_id), error.code, 0, 0};
  };
  try {
    const auto result = complete(prepared, outputs, side.text);
    if (const auto* error = std::get_if<RecordError>(&result)) return refuse(*error);
    const Completion& completion = std::get<Completion>(result);
    FinishedRecord record;
    record.text = format_completion(prepared.request, completion, prepared.request_id, timings);
    record.prompt_tokens = completion.prompt_tokens;
    for (const Choice& choice : completion.choices)
      record.completion_tokens += static_cast<int64_t>(choice.token_ids.size());
    return record;
  } catch (const std::exception& error) {
    return refuse(internal_error(prepared.request, error.what()));
  }
}

}  // namespace penstock
