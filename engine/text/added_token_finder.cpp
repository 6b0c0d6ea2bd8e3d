#include <algorithm>

#include "engine/text/added_tokens.h"
#include "engine/text/unicode.h"

namespace penstock::text {
namespace {

bool stands_alone(std::string_view text, size_t begin, size_t end) {
  bool word_before = begin > 0 && is_word(last_character(text.substr(0, begin)).code);
  bool word_after = end < text.size() && is_word(first_character(text.data() + end).code);
  return !word_before && !word_after;
}

size_t skip_spaces_back(std::string_view text, size_t end, size_t limit) {
  while (end > limit) {
    Character c = last_character(text.substr(0, end));
    if (!is_space(c.code)) break;
    end -= c.bytes;
  }
  return std::max(end, limit);
}

size_t skip_spaces(std::string_view text, size_t begin) {
  while (begin < text.size()) {
    Character c = first_character(text.data() + begin);
    if (!is_space(c.code)) break;
    begin += c.bytes;
  }
  return begin;
}

}  // namespace

AddedTokenFinder::AddedTokenFinder(std::vector<const AddedToken*> tokens) : sorted_(std::move(tokens)) {
  std::sort(sorted_.begin(), sorted_.end(), [](auto a, auto b) { return a->pattern < b->pattern; });
  for (const AddedToken* token : sorted_) first_bytes_[static_cast<unsigned char>(token->pattern[0])] = true;
}

// Narrows the sorted list byte by byte to the patterns that begin like `text`; a pattern that is used up comes first.
const AddedToken* AddedTokenFinder::longest_at(std::string_view text) const {
  const AddedToken* longest = nullptr;
  auto low = sorted_.begin(), high = sorted_.end();
  for (size_t depth = 0; depth < text.size(); ++depth) {
    auto byte = [depth](const AddedToken* token) { return static_cast<unsigned char>(token->pattern[depth]); };
    auto wanted = static_cast<unsigned char>(text[depth]);
    low = std::partition_point(low, high, [&](auto token) { return byte(token) < wanted; });
    high = std::partition_point(low, high, [&](auto token) { return byte(token) == wanted; });
    if (low != high && (*low)->pattern.size() == depth + 1) longest = *low++;
    if (low == high) break;
  }
  return longest;
}

template <typename OnMatch>
void AddedTokenFinder::for_each_match(std::string_view text, size_t begin, size_t end, OnMatch on_match) const {
  while (begin < end) {
    const AddedToken* token = nullptr;
    if (first_bytes_[static_cast<unsigned char>(text[begin])]) token = longest_at(text.substr(begin, end - begin));
    if (token) on_match(*token, begin);
    begin += token ? token->pattern.size() : 1;
  }
}

void AddedTokenFinder::for_each_span(std::string_view text, std::span<const Range> literal, SpanSink sink) const {
  size_t emitted = 0;
  auto on_match = [&](const AddedToken& token, size_t begin) {
    size_t end = begin + token.pattern.size();
    if (token.single_word && !stands_alone(text, begin, end)) return;
    if (token.lstrip) begin = std::max(skip_spaces_back(text, begin, std::min(emitted, begin)), emitted);
    if (token.rstrip) end = skip_spaces(text, end);
    if (emitted < begin) sink(emitted, begin, -1);
    sink(begin, end, token.id);
    emitted = end;
  };
  if (!empty()) {
    size_t begin = 0;
    for (const Range& range : literal) {
      for_each_match(text, begin, range.begin, on_match);
      begin = range.end;
    }
    for_each_match(text, begin, text.size(), on_match);
  }
  if (emitted < text.size()) sink(emitted, text.size(), -1);
}

}  // namespace penstock::text
