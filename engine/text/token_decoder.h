// The "decoder" of a tokenizer.json: turns the spellings of a sequence's tokens back into text, as they arrive.
// Known: Sequence, ByteLevel, Metaspace, ByteFallback, Fuse, Replace, Strip.
//
// A decoder is a chain of stages. A token passes through it as chunks of text, the last of which is marked; what a
// stage cannot decide yet it holds back until the next chunk or the end. So decoding a whole sequence and decoding it
// token by token are the same code.
#pragma once
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "engine/text/json_node.h"

namespace penstock::text {

class DecodeStage {
 public:
  virtual ~DecodeStage() = default;
  virtual void chunk(std::string_view text, bool ends_token) = 0;
  virtual void finish() = 0;  // no more tokens
};

using StageMaker = std::function<std::unique_ptr<DecodeStage>(DecodeStage& next)>;

class TokenDecoder {
 public:
  TokenDecoder() = default;  // no decoder in the file: spellings joined by spaces
  explicit TokenDecoder(const Node& node) : joins_with_space_(false) { read(node); }

 private:
  friend class DecodeStream;
  void read(const Node& node);

  bool joins_with_space_ = true;
  std::vector<StageMaker> stages_;  // first to last
};

// One sequence in the course of decoding. The decoder must outlive it.
class DecodeStream {
 public:
  explicit DecodeStream(const TokenDecoder& decoder);
  ~DecodeStream();
  DecodeStream(DecodeStream&&) noexcept;
  DecodeStream& operator=(DecodeStream&&) noexcept;

  // Append the text that has become certain.
  void push(std::string_view spelling, std::string& out);
  void finish(std::string& out);

 private:
  class Collector;
  std::unique_ptr<Collector> collector_;
  std::vector<std::unique_ptr<DecodeStage>> stages_;  // last to first; each refers to the one before it here
  DecodeStage* first_;                                // where tokens enter
};

}  // namespace penstock::text
