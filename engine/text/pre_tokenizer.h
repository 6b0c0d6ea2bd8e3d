// The "pre_tokenizer" of a tokenizer.json: cuts normalized text into the words that the model sees.
// Known: Sequence, ByteLevel, Digits, Split, Metaspace, Whitespace, WhitespaceSplit.
#pragma once
#include <memory>
#include <string_view>

#include "engine/text/function_ref.h"
#include "engine/text/json_node.h"
#include "engine/text/subword_model.h"

namespace penstock::text {

struct Piece {
  std::string_view text;
  bool starts_text;  // nothing stands before it in the text being encoded
};
using PieceSink = FunctionRef<void(const Piece&)>;

class PreTokenizer {
 public:
  virtual ~PreTokenizer() = default;
  // Gives the non-empty pieces of a non-empty piece to `sink`, in order. They live until sink returns.
  virtual void split(const Piece& piece, PieceSink sink) const = 0;
};

struct PreTokenization {
  std::unique_ptr<const PreTokenizer> splitter;
  WordUnit unit;  // bytes when ByteLevel has the last word: it leaves words as they are, and the model reads bytes
};
PreTokenization read_pre_tokenizer(const Node& node);

}  // namespace penstock::text
