// The text of one sequence as it grows, watched for stop strings. The engine's watcher and complete() both use it, so
// that they cannot disagree about where a text stops.
#pragma once
#include <span>
#include <string>

#include "engine/text/detokenizer.h"

namespace penstock {

class StopText {
 public:
  StopText(const Tokenizer& tokenizer, std::span<const std::string> stops) : detokenizer_(tokenizer), matcher_(stops) {}

  // True once a stop string has been completed; nothing may be pushed after that.
  bool push(int32_t id) { return matcher_.push(detokenizer_.push(id)); }
  bool stopped() const { return matcher_.stopped(); }
  // The whole text, cut before the stop string. Call once, last.
  std::string finish() { return stopped() ? matcher_.text() : matcher_.text() + detokenizer_.finish(); }

 private:
  Detokenizer detokenizer_;
  StopMatcher matcher_;
};

}  // namespace penstock
