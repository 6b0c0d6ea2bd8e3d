// What a tokenizer.json makes of ids, for two models whose ids must mean the same: one drafts for the other.
#pragma once
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "engine/text/json_node.h"

namespace penstock {

// Read without what only encoding needs: normalizer, pre-tokenizer, post-processor. Immutable.
class TokenizerIds {
 public:
  // As Tokenizer's. Errors: Error(bad_model).
  TokenizerIds(std::string_view json_text, const std::string& path);

  int32_t count() const { return spellings_.empty() ? 0 : spellings_.rbegin()->first + 1; }  // largest id + 1

  // The first difference as a clause about this one ('its id 7 is "a", not "b"'), empty when there is none: model kind,
  // the vocabulary id by id, added tokens and how they are found, merges or the pieces' scores. How a file spells them
  // does not count, nor do rows of the models beyond the vocabulary.
  std::string difference_from(const TokenizerIds& other) const;

 private:
  struct Added {
    std::string content;
    bool single_word, lstrip, rstrip, normalized, special;
    bool operator==(const Added&) const = default;
  };

  void read_vocabulary(const text::Node& model);
  void read_merges(const text::Node& merges);
  void read_added(const text::Node& list);

  std::string kind_;
  std::map<int32_t, std::string> spellings_;  // added tokens' too
  std::map<int32_t, Added> added_;
  std::vector<std::string> merges_;  // "left right", in their order
  std::vector<double> scores_;       // of a unigram model's pieces
};

}  // namespace penstock
