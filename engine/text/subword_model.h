// The "model" of a tokenizer.json: turns one word into ids. Known: BPE, Unigram.
#pragma once
#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "engine/text/json_node.h"
#include "engine/text/vocabulary.h"

namespace penstock::text {

// What the words are made of when they reach the model.
enum class WordUnit {
  characters,  // words are text; one character is the smallest symbol
  bytes,       // ByteLevel: words are raw bytes, though the file spells each byte as a printable character
};

class SubwordModel {
 public:
  // The caches and scratch memory of one thread. Must not outlive the model.
  class Session {
   public:
    virtual ~Session() = default;
    virtual void encode(std::string_view word, std::vector<int32_t>& ids) = 0;  // appends
  };

  virtual ~SubwordModel() = default;
  virtual const Vocabulary& vocabulary() const = 0;
  virtual std::unique_ptr<Session> new_session() const = 0;
};

// Errors: Error(bad_model).
std::unique_ptr<const SubwordModel> read_subword_model(const Node& node, WordUnit unit);

}  // namespace penstock::text
