// lm-evaluation-harness's rules for what is scored (loglikelihood and loglikelihood_rolling of its HFLM), as pure
// functions of token ids. A sequence of N ids is fed its first N-1, so one id more than the context may be given.
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

// Trailing white space of the context belongs to the continuation, and the continuation is what encoding both adds to
// the context's ids. Without context, `prefix_token` stands in, unless the continuation begins with it. What is longer
// than the context loses ids from the left. What cannot be scored shows: `ids` is empty when there is no token to
// condition on, ends at score_from when the continuation has no tokens of its own, and score_from is below 1 when the
// continuation alone is longer than the context.
ScoredText encode_pair(const Tokenizer& tokenizer, std::optional<int32_t> prefix_token, const std::string& context,
                       const std::string& continuation, int32_t max_context);

// Disjoint windows that score each id once; the last one reaches back for a full context. None for an empty text.
std::vector<ScoredText> rolling_windows(const std::vector<int32_t>& ids, int32_t prefix_token, int32_t max_context);

}  // namespace penstock
