// Ids to text, one token at a time, and stop strings.
#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/text/tokenizer.h"

namespace penstock {

// Incremental decoding of one sequence's new tokens. What has been emitted never changes, never ends inside a
// character, and the concatenation of everything emitted plus finish() equals Tokenizer::decode of all pushed ids in
// the context of the prompt. Special tokens are skipped. One owner thread.
class Detokenizer {
 public:
  explicit Detokenizer(const Tokenizer& tokenizer) : tokenizer_(&tokenizer) {}

  std::string push(int32_t id);  // the text that became certain; may be empty
  std::string finish();          // what was held back (an unfinished character as U+FFFD)

 private:
  const Tokenizer* tokenizer_;
  std::vector<int32_t> ids_;
  size_t prefix_ = 0;   // ids_[prefix_, read_) were emitted and are decoded again as context
  size_t read_ = 0;
};

// Finds the first occurrence of any stop string in a text that arrives in pieces.
class StopMatcher {
 public:
  explicit StopMatcher(std::span<const std::string> stops) : stops_(stops.begin(), stops.end()) {}

  // Appends `piece`. True once a stop string has been completed; text() is then cut before it.
  bool push(std::string_view piece);
  const std::string& text() const { return text_; }  // everything so far
  bool stopped() const { return stopped_; }

 private:
  std::vector<std::string> stops_;
  std::string text_;
  bool stopped_ = false;
};

}  // namespace penstock
