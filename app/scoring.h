// lm-evaluation-harness's rules for what is scored (loglikelihood and loglikelihood_rolling of its HFLM, commit
// 4e7e0d47), as pure functions. A sequence of N ids is fed its first N-1, so one id more than the context may be given.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "engine/text/tokenizer.h"

namespace penstock {

struct ScoredText {
  std::vector<int32_t> ids;
  int32_t score_from = 1;  // ids[score_from …] are scored, given those before them
};

// The ids of a text, with the tokens that the tokenizer adds by itself (BOS) unless the text begins with the prefix
// token's own text.
std::vector<int32_t> encode_scored(const Tokenizer& tokenizer, std::optional<int32_t> prefix_token,
                                   const std::string& text);

// Trailing white space of the context belongs to the continuation, whose ids are those that encoding both has beyond
// the number that the context alone has, both by encode_scored. They follow the context's own ids, even where the two
// texts merge and both together begin otherwise. An empty context is replaced by `prefix_token`, unless the
// continuation, which then gets no other token in front, begins with it. What is longer than the context loses ids from
// the left. What cannot be scored shows: `ids` is empty when there is no token to condition on, ends at score_from when
// the continuation has no tokens of its own, and score_from is below 1 when the continuation alone is longer than the
// context.
ScoredText encode_pair(const Tokenizer& tokenizer, std::optional<int32_t> prefix_token, const std::string& context,
                       const std::string& continuation, int32_t max_context);

// `ids`: of encode_scored, so that a BOS among them is scored, too. Disjoint windows that score each id once; the last
// one reaches back for a full context. None for an empty text.
std::vector<ScoredText> rolling_windows(const std::vector<int32_t>& ids, int32_t prefix_token, int32_t max_context);

}  // namespace penstock
