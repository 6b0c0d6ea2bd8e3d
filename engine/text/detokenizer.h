// Ids to text, one token at a time, and stop strings.
#pragma once
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/text/tokenizer.h"

namespace penstock {

namespace text {
class DecodeStream;
}

// Incremental decoding of one sequence's new tokens. What has been emitted never changes, never ends inside a
// character, and the concatenation of everything emitted plus finish() equals Tokenizer::decode of all pushed ids.
// Special tokens are skipped. One owner thread; the tokenizer must outlive it.
class Detokenizer {
 public:
  explicit Detokenizer(const Tokenizer& tokenizer);
  ~Detokenizer();
  Detokenizer(Detokenizer&&) noexcept;
  Detokenizer& operator=(Detokenizer&&) noexcept;

  std::string push(int32_t id);  // the text that became certain; may be empty
  std::string finish();          // what was held back (an unfinished character as U+FFFD); push no more after it

 private:
  const Tokenizer* tokenizer_;
  std::unique_ptr<text::DecodeStream> stream_;
};

// Finds the first occurrence of any stop string in a text that arrives in pieces. When a token's text completes
// several, the one that begins first counts. A piece costs its length times the number of stops, whatever came before.
class StopMatcher {
 public:
  // Errors: std::invalid_argument for an empty stop string.
  explicit StopMatcher(std::span<const std::string> stops);

  // Appends `piece`. True once a stop string has been completed; text() is then cut before it, which may take away
  // characters of earlier pieces. Nothing is appended after that.
  bool push(std::string_view piece);
  const std::string& text() const { return text_; }  // everything so far
  bool stopped() const { return stopped_; }

  // Length of the part of text() that no stop string can take back any more.
  size_t settled() const;

 private:
  // Knuth-Morris-Pratt: how much of the stop the text ends with, and where to go on after a mismatch.
  struct Stop {
    std::string text;
    std::vector<uint32_t> border;  // [length]: of each prefix, the longest proper prefix that also ends it
    uint32_t matched = 0;
    bool advance(char c);  // true when the stop is complete
  };
  std::vector<Stop> stops_;
  std::string text_;
  bool stopped_ = false;
};

}  // namespace penstock
