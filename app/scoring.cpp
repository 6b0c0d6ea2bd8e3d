#include "app/scoring.h"

#include <algorithm>

#include "engine/text/template_text.h"

namespace penstock {

std::vector<int32_t> encode_scored(const Tokenizer& tokenizer, std::optional<int32_t> prefix_token,
                                   const std::string& text) {
  const bool begun = prefix_token && text.starts_with(tokenizer.decode(std::vector{*prefix_token}, false));
  return tokenizer.encode(text, !begun);
}

ScoredText encode_pair(const Tokenizer& tokenizer, std::optional<int32_t> prefix_token, const std::string& context,
                       const std::string& continuation, int32_t max_context) {
  ScoredText scored;
  if (context.empty()) {
    scored = {tokenizer.encode(continuation, false), 0};
  } else {
    const std::string stripped(jinja::trim_right(context));
    scored.ids = encode_scored(tokenizer, prefix_token, stripped);
    const size_t begin = scored.ids.size();
    scored.score_from = static_cast<int32_t>(begin);
    const std::vector<int32_t> whole = encode_scored(tokenizer, prefix_token, context + continuation);
    if (whole.size() > begin) scored.ids.insert(scored.ids.end(), whole.begin() + scored.score_from, whole.end());
  }
  if (scored.score_from == 0 && !scored.ids.empty()) {
    if (!prefix_token) return {};
    if (scored.ids.front() != *prefix_token) scored.ids.insert(scored.ids.begin(), *prefix_token);
    scored.score_from = 1;
  }
  int32_t surplus = static_cast<int32_t>(scored.ids.size()) - (max_context + 1);
  if (surplus > 0) {
    scored.ids.erase(scored.ids.begin(), scored.ids.begin() + surplus);
    scored.score_from -= surplus;
  }
  return scored;
}

std::vector<ScoredText> rolling_windows(const std::vector<int32_t>& ids, int32_t prefix_token, int32_t max_context) {
  std::vector<ScoredText> windows;
  size_t window = static_cast<size_t>(max_context);
  for (size_t scored = 0; scored < ids.size();) {
    size_t end = std::min(scored + window, ids.size());
    size_t first = scored == 0 ? 0 : end - window - 1;  // window + 1 ids, of which the last is not fed
    ScoredText piece;
    if (scored == 0) piece.ids.push_back(prefix_token);
    piece.ids.insert(piece.ids.end(), ids.begin() + first, ids.begin() + end);
    piece.score_from = static_cast<int32_t>(piece.ids.size() - (end - scored));
    windows.push_back(std::move(piece));
    scored = end;
  }
  return windows;
}

}  // namespace penstock
