// Byte-pair encoding (Sennrich et al. 2016) with the extensions of the tokenizers library: byte_fallback, fuse_unk,
// ignore_merges.
#pragma once
#include <array>

#include "engine/text/merge_table.h"
#include "engine/text/subword_model.h"

namespace penstock::text {

inline constexpr std::string_view kSpaceMark = "\u2581";  // ▁

class BpeModel : public SubwordModel {
 public:
  BpeModel(const Node& node, WordUnit unit);

  const Vocabulary& vocabulary() const override { return vocabulary_; }
  std::unique_ptr<Session> new_session() const override;

 private:
  class BpeSession;

  void read_merges(const Node& merges);
  void add_merge(const Node& merge, std::string_view left, std::string_view right, uint32_t rank);
  void index_words();
  void prepare_bytes();

  // How the smallest unit of a word begins: its id, the ids of its bytes, or as the unknown token.
  struct Start {
    enum Kind : uint8_t { symbol, fallback, unknown } kind;
    int32_t id;  // of a symbol
  };
  Start start_of(std::string_view spelling) const;

  Vocabulary vocabulary_;
  WordUnit unit_;
  bool fuse_unknown_, byte_fallback_, ignore_merges_;
  std::optional<int32_t> unknown_id_;
  MergeTable merges_;
  // No merge joins a piece to one that begins with SentencePiece's mark of a space, unless it ends with one itself: so
  // texts that no pre-tokenizer splits can be encoded word by word, with the same ids.
  bool words_begin_at_marks_;

  std::array<int32_t, 256> fallback_ids_;  // of <0x00> … <0xFF>; -1 where the vocabulary has none
  std::array<Start, 256> byte_starts_;     // WordUnit::bytes: by byte. characters: by ASCII character
  std::array<std::string, 256> byte_spellings_;

  std::string word_bytes_;  // ignore_merges with WordUnit::bytes: every token's raw bytes, one behind the other
  SpellingTable words_;
};

}  // namespace penstock::text
