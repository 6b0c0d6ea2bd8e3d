// "added_tokens" of a tokenizer.json: strings that become one id wherever they stand in the text.
#pragma once
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "engine/text/function_ref.h"
#include "engine/text/normalizer.h"
#include "engine/text/vocabulary.h"

namespace penstock::text {

struct AddedToken {
  int32_t id;
  std::string content;
  std::string pattern;  // what is searched for and what decodes: the content, normalized if `normalized`
  bool single_word, lstrip, rstrip, normalized, special;
};

// Finds a set of added tokens in a text: leftmost first, and the longest at its place.
class AddedTokenFinder {
 public:
  explicit AddedTokenFinder(std::vector<const AddedToken*> tokens);
  bool empty() const { return sorted_.empty(); }

  // Cuts `text` into tokens (id >= 0) and the text between them (id = -1), in order. Matches that touch a literal
  // range do not count.
  using SpanSink = FunctionRef<void(size_t begin, size_t end, int32_t id)>;
  void for_each_span(std::string_view text, std::span<const Range> literal, SpanSink sink) const;

 private:
  const AddedToken* longest_at(std::string_view text) const;
  template <typename OnMatch>
  void for_each_match(std::string_view text, size_t begin, size_t end, OnMatch on_match) const;

  std::vector<const AddedToken*> sorted_;  // by pattern
  bool first_bytes_[256] = {};
};

class AddedTokens {
 public:
  // Checks the list against the vocabulary. Errors: Error(bad_model).
  AddedTokens(const std::optional<Node>& list, const Vocabulary& vocabulary, const Normalizer* normalizer);
  AddedTokens(const AddedTokens&) = delete;

  const AddedToken* find(int32_t id) const;
  std::optional<int32_t> id(std::string_view content) const;
  int32_t largest_id() const { return largest_id_; }  // -1 without any
  bool is_skipped(const AddedToken& token) const { return specials_.contains(token.pattern); }
  const AddedTokenFinder& in_source() const { return *in_source_; }          // those with normalized: false
  const AddedTokenFinder& in_normalized() const { return *in_normalized_; }  // and those with true

 private:
  void add(const Node& node, const Vocabulary& vocabulary, const Normalizer* normalizer);

  std::vector<AddedToken> tokens_;
  std::unordered_map<int32_t, size_t> by_id_;
  std::unordered_map<std::string, int32_t> by_content_;
  std::unordered_set<std::string> specials_;
  int32_t largest_id_ = -1;
  std::optional<AddedTokenFinder> in_source_, in_normalized_;
};

}  // namespace penstock::text
