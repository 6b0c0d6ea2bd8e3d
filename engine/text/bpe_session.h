// One thread's use of a BpeModel.
#pragma once
#include "engine/text/bpe.h"
#include "engine/text/word_cache.h"

namespace penstock::text {

class BpeModel::BpeSession : public SubwordModel::Session {
 public:
  explicit BpeSession(const BpeModel& model) : model_(model) {}
  void encode(std::string_view word, std::vector<int32_t>& ids) override;

 private:
  struct Symbol {
    int32_t id;              // -1: joined to the symbol on its left
    int32_t previous, next;  // -1: none
  };
  // A pair that may join, the best one first: lowest rank, then leftmost.
  struct Candidate {
    uint64_t order;  // rank << 32 | position of the left symbol
    int32_t result;
    bool operator>(const Candidate& other) const { return order > other.order; }
  };

  void encode_word(std::string_view word, std::vector<int32_t>& ids);
  std::optional<int32_t> whole_word(std::string_view word) const;
  void begin_symbols(std::string_view word);
  void add_unit(Start start, std::string_view spelling);
  void add_symbol(int32_t id);
  void merge_symbols();
  bool consider(int32_t left, int32_t right, Candidate& candidate) const;
  void push_candidate(int32_t left, int32_t right);

  const BpeModel& model_;
  WordCache cache_;
  std::vector<Symbol> symbols_;
  std::vector<Candidate> heap_;
  bool unknown_pending_ = false;
};

}  // namespace penstock::text
