// SentencePiece's way with spaces: a visible character stands for each, and may be put before the first word.
// Both a pre-tokenizer and a decoder.
#pragma once
#include "engine/text/pre_tokenizer.h"

namespace penstock::text {

struct MetaspaceRule {
  enum class Prepend { never, first, always };
  std::string replacement;  // one character
  Prepend prepend;
  bool split;
};
MetaspaceRule read_metaspace(const Node& node);

class Metaspace : public PreTokenizer {
 public:
  explicit Metaspace(const Node& node) : rule_(read_metaspace(node)) {}
  void split(const Piece& piece, PieceSink sink) const override;

 private:
  MetaspaceRule rule_;
};

}  // namespace penstock::text
