// One answered request, and its output line.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "app/request.h"

namespace penstock {

struct Choice {
  int32_t index = 0;
  std::string text;
  std::vector<int32_t> token_ids;
  std::vector<float> logprobs;       // [token_ids], of the raw logits
  std::vector<std::string> token_texts;  // [token_ids], where log-probabilities are asked for; else empty
  std::string finish_reason;         // "stop" or "length"
};

struct Score {
  double sum_logprob = 0;
  bool is_greedy = false;
  int32_t num_tokens = 0;
};

struct Completion {
  std::vector<Choice> choices;       // by index; prompts x n for batch completions
  std::vector<Score> scores;         // score: one a continuation; rolling: one
  int64_t prompt_tokens = 0;         // completion tokens are the choices' token_ids
  int64_t cached_tokens = 0;
  double queue_seconds = 0, first_token_seconds = 0, total_seconds = 0;
};

// One JSON line without its newline. `timings`: add times and cached_tokens, and a real `created`.
std::string format_completion(const Request& request, const Completion& completion, const std::string& request_id,
                              bool timings);
std::string format_error(const RecordError& error, const std::string& request_id);

}  // namespace penstock
