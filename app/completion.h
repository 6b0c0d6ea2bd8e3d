// One answered request, and its output line.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "app/request.h"

namespace penstock {

// A token as log-probabilities show it. What is not UTF-8 by itself has U+FFFD in its text and shows in its bytes.
struct TokenText {
  std::string text, bytes;
};

struct LikelyToken {
  TokenText token;
  float logprob = 0;
};

struct TokenLogprob {
  TokenText token;
  std::optional<float> logprob;  // of the raw logits; none for the first token of an echoed prompt
  int64_t offset = 0;            // where it begins in the choice's text, in characters
  std::vector<LikelyToken> top;  // the likeliest first
};

struct Choice {
  int32_t index = 0;
  std::string text;                    // an echoed prompt included
  std::vector<int32_t> token_ids;      // generated
  std::vector<TokenLogprob> logprobs;  // where asked for: of an echoed prompt's tokens, then of token_ids
  std::string finish_reason;           // "stop" or "length"
};

struct Score {
  double sum_logprob = 0;
  bool is_greedy = false;
  int32_t num_tokens = 0;
};

struct Completion {
  std::vector<Choice> choices;  // by index; prompts x n for batch completions
  std::vector<Score> scores;    // score: one a continuation; rolling: one
  int64_t prompt_tokens = 0;    // completion tokens are the choices' token_ids
  int64_t cached_tokens = 0;
  double queue_seconds = 0, first_token_seconds = 0, total_seconds = 0;
};

// One JSON line without its newline. `timings`: add times and cached_tokens, and a real `created`.
std::string format_completion(const Request& request, const Completion& completion, const std::string& request_id,
                              bool timings);
std::string format_error(const RecordError& error, const std::string& request_id);

}  // namespace penstock
