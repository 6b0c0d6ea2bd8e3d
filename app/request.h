// One line of the input, parsed and validated: design.md §7.
#pragma once
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "engine/json.h"
#include "engine/model/model_config.h"

namespace penstock {

enum class RequestKind {
  batch_chat,        // OpenAI Batch, /v1/chat/completions
  batch_completion,  // OpenAI Batch, /v1/completions
  bare,              // {"id", "prompt" | "prompt_token_ids" | "messages"}
  score,             // {"id", "context", "continuation"}
  rolling,           // {"id", "text", "rolling": true}
};

// As the line gives them; absent (or null) ones are filled in by resolve().
struct Parameters {
  std::optional<int32_t> max_tokens;
  std::optional<double> temperature, top_p, min_p;
  std::optional<int32_t> top_k;
  std::optional<int32_t> n;
  std::optional<uint64_t> seed;
  std::vector<std::string> stop;
  std::vector<int32_t> stop_token_ids;
  bool ignore_eos = false;
  int32_t min_tokens = 0;
  double presence_penalty = 0, frequency_penalty = 0;
  std::optional<double> repetition_penalty;
  std::map<int32_t, double> logit_bias;
  std::optional<int32_t> logprobs;   // how many alternatives a token (chat: top_logprobs); absent: none wanted
  bool echo = false;
};

struct Prompt {                      // exactly one of the two
  std::optional<std::string> text;
  std::vector<int32_t> ids;
};

struct Request {
  int64_t line = 0;                  // from 1, in the unsharded file
  std::string id;                    // custom_id, id, or "line-N"
  RequestKind kind = RequestKind::bare;
  std::string model;                 // echoed

  std::vector<Prompt> prompts;       // one; batch_completion may have several. Empty for chats and scoring
  nlohmann::ordered_json messages;   // an array for chats, else null
  nlohmann::ordered_json tools;      // an array or null
  nlohmann::ordered_json template_kwargs;  // an object
  bool add_generation_prompt = true;
  bool continue_final_message = false;

  std::string context;               // score
  std::vector<std::string> continuations;
  bool continuation_is_list = false;
  std::string text;                  // rolling

  Parameters parameters;
  bool is_chat() const { return messages.is_array(); }
};

// Why a line has no answer. Becomes an error record.
struct RecordError {
  int64_t line = 0;
  std::string id;                    // as far as it is known; "line-N" otherwise
  std::optional<RequestKind> kind;   // unknown when the line is not even a request
  bool batch_line = false;           // shaped like an OpenAI Batch line (decides the error record's shape)
  int status = 400;                  // HTTP status for batch lines
  std::string code;                  // "invalid_json", "unknown_parameter", "context_length_exceeded", …
  std::string message;               // names the field; says what is allowed
  std::string param;                 // the field; empty when there is none
  std::string duplicate_of;          // "line-N" of the first line with this id
};

// What the run decides for requests that leave it open (flags over generation_config.json over OpenAI's defaults).
struct RequestDefaults {
  std::optional<double> temperature, top_p;
  std::optional<int32_t> top_k, max_tokens;
  GenerationDefaults generation;
};

struct ParseLimits {
  int32_t vocab = 0;                 // ids must be below
  int64_t max_line_bytes = 64 << 20;
};

// Parses one line (without its newline; a trailing CR is white space). Pure. Never throws for bad input.
std::variant<Request, RecordError> parse_request(std::string_view line, int64_t line_number, const ParseLimits& limits);

// The parameters with every default filled in (max_tokens stays absent where the context decides). A canonical JSON of
// the whole resolved request (sorted keys), which the request hash is made of, comes from canonical_request().
Parameters resolve(const Request& request, const RequestDefaults& defaults);
std::string canonical_request(const Request& request, const Parameters& resolved);

}  // namespace penstock
