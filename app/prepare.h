// Request → sequences, and finished sequences → Completion: the pure functions that the worker threads run.
#pragma once
#include <limits>
#include <string>
#include <variant>
#include <vector>

#include "app/completion.h"
#include "app/request.h"
#include "engine/schedule/sequence.h"
#include "engine/text/text_model.h"

namespace penstock {

struct PrepareOptions {
  int32_t max_context = 0;           // tokens
  int32_t vocab = std::numeric_limits<int32_t>::max();  // ids must be below: rows of the embedding table
  uint64_t seed = 0;                 // --seed
  std::vector<int32_t> eos_ids;
  bool literal_special_tokens = false;
};

// A request whose text is tokens. Owns what its sequences' stop watchers refer to.
struct PreparedRequest {
  Request request;
  Parameters parameters;             // resolved
  std::string request_id;            // "req_" + hash; filled by the caller that knows the model's fingerprint
  std::string prompt_text;           // rendered, for `penstock tokenize`; empty where ids are given
  std::vector<std::vector<int32_t>> prompts;   // ids, one a prompt (or one a continuation / window when scoring)
  std::vector<SequenceInput> sequences;        // tag, request: set by the caller. prompts x n
};

// Errors: a RecordError for what the text shows only now (template refuses, prompt too long, id outside vocabulary, …).
std::variant<PreparedRequest, RecordError> prepare(Request request, const Parameters& resolved, const TextModel& text,
                                                   const PrepareOptions& options);

// `outputs`: one for each of prepared.sequences, in that order. Cuts text at stop strings.
std::variant<Completion, RecordError> complete(const PreparedRequest& prepared, const std::vector<SequenceOutput>& outputs,
                                               const TextModel& text);

}  // namespace penstock
