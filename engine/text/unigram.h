// The unigram language model (Kudo 2018): of all ways to cut a word into pieces of the vocabulary, the one with the
// largest sum of log-probabilities. T5, ALBERT and XLM-R carry such files.
#pragma once
#include <array>

#include "engine/text/piece_trie.h"
#include "engine/text/subword_model.h"

namespace penstock::text {

class UnigramModel : public SubwordModel {
 public:
  explicit UnigramModel(const Node& node);

  const Vocabulary& vocabulary() const override { return vocabulary_; }
  std::unique_ptr<Session> new_session() const override;

 private:
  class UnigramSession;

  void read_scores(const Node& pieces);

  Vocabulary vocabulary_;
  PieceTrie trie_;
  std::vector<double> scores_;  // by id
  double unknown_score_ = 0;
  std::optional<int32_t> unknown_id_;
  bool byte_fallback_;
  std::array<int32_t, 256> fallback_ids_;  // of <0x00> … <0xFF>; -1 where the vocabulary has none
};

}  // namespace penstock::text
