// What becomes of the delimiters when text is split at them.
#pragma once
#include <optional>

#include "engine/text/pre_tokenizer.h"

namespace penstock::text {

enum class SplitBehavior { removed, isolated, merged_with_previous, merged_with_next, contiguous };

SplitBehavior read_split_behavior(const Node& node);

// Takes the spans of one piece in order, delimiters and what lies between, and gives on the pieces they make.
class Splitter {
 public:
  Splitter(const Piece& piece, SplitBehavior behavior, PieceSink sink)
      : piece_(piece), behavior_(behavior), sink_(sink) {}

  void span(size_t begin, size_t end, bool delimiter);
  void finish() { flush(); }

 private:
  struct Pending {
    size_t begin, end;
    bool delimiter;  // of its last span
  };
  bool joins(bool delimiter) const;
  void flush();

  Piece piece_;
  SplitBehavior behavior_;
  PieceSink sink_;
  std::optional<Pending> pending_;
};

}  // namespace penstock::text
