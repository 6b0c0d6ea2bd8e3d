#include "engine/text/bpe_session.h"

#include <algorithm>
#include <functional>

#include "engine/text/unicode.h"

namespace penstock::text {

std::unique_ptr<SubwordModel::Session> BpeModel::new_session() const { return std::make_unique<BpeSession>(*this); }

namespace {

// Bytes of the marks at the front of text and of what follows them until the next mark.
size_t marked_word_size(std::string_view text) {
  size_t marks = 0;
  while (text.substr(marks).starts_with(kSpaceMark)) marks += kSpaceMark.size();
  return std::min(text.find(kSpaceMark, marks), text.size());
}

}  // namespace

void BpeModel::BpeSession::encode(std::string_view word, std::vector<int32_t>& ids) {
  if (!model_.words_begin_at_marks_) return encode_word(word, ids);
  for (size_t size; !word.empty(); word.remove_prefix(size)) {
    size = marked_word_size(word);
    encode_word(word.substr(0, size), ids);
  }
}

void BpeModel::BpeSession::encode_word(std::string_view word, std::vector<int32_t>& ids) {
  if (word.empty() || cache_.find(word, ids)) return;
  size_t before = ids.size();
  if (auto id = whole_word(word)) {
    ids.push_back(*id);
  } else {
    begin_symbols(word);
    merge_symbols();
    for (const Symbol& symbol : symbols_)
      if (symbol.id >= 0) ids.push_back(symbol.id);
  }
  cache_.keep(word, std::span(ids).subspan(before));
}

std::optional<int32_t> BpeModel::BpeSession::whole_word(std::string_view word) const {
  if (!model_.ignore_merges_) return std::nullopt;
  return model_.unit_ == WordUnit::bytes ? model_.words_.find(word) : model_.vocabulary_.id(word);
}

void BpeModel::BpeSession::begin_symbols(std::string_view word) {
  symbols_.clear();
  unknown_pending_ = false;
  for (size_t at = 0; at < word.size();) {
    auto byte = static_cast<unsigned char>(word[at]);
    if (model_.unit_ == WordUnit::bytes || byte < 0x80) {
      add_unit(model_.byte_starts_[byte], model_.byte_spellings_[byte]);
      ++at;
    } else {
      std::string_view character = word.substr(at, first_character(word.data() + at).bytes);
      add_unit(model_.start_of(character), character);
      at += character.size();
    }
  }
  if (unknown_pending_) add_symbol(*model_.unknown_id_);
}

// An unknown unit waits until the next known one, so that neighbours can fuse. Bytes of a fallback do not end the
// wait: they come before it, as in the tokenizers library.
void BpeModel::BpeSession::add_unit(Start start, std::string_view spelling) {
  switch (start.kind) {
    case Start::symbol:
      if (unknown_pending_) add_symbol(*model_.unknown_id_);
      unknown_pending_ = false;
      add_symbol(start.id);
      break;
    case Start::fallback:
      for (char c : spelling) add_symbol(model_.fallback_ids_[static_cast<unsigned char>(c)]);
      break;
    case Start::unknown:
      if (!model_.unknown_id_) break;  // dropped
      if (unknown_pending_ && !model_.fuse_unknown_) add_symbol(*model_.unknown_id_);
      unknown_pending_ = true;
      break;
  }
}

void BpeModel::BpeSession::add_symbol(int32_t id) {
  auto index = static_cast<int32_t>(symbols_.size());
  if (index > 0) symbols_.back().next = index;
  symbols_.push_back({id, index - 1, -1});
}

bool BpeModel::BpeSession::consider(int32_t left, int32_t right, Candidate& candidate) const {
  const Merge* merge = model_.merges_.find(symbols_[left].id, symbols_[right].id);
  if (!merge) return false;
  candidate = {static_cast<uint64_t>(merge->rank) << 32 | static_cast<uint32_t>(left), merge->result};
  return true;
}

void BpeModel::BpeSession::push_candidate(int32_t left, int32_t right) {
  Candidate candidate;
  if (left < 0 || right < 0 || !consider(left, right, candidate)) return;
  heap_.push_back(candidate);
  std::push_heap(heap_.begin(), heap_.end(), std::greater<>());
}

// O(n log n): every join removes a symbol and adds at most two candidates. Candidates whose symbols have changed
// since are recognised when they surface.
void BpeModel::BpeSession::merge_symbols() {
  heap_.clear();
  Candidate candidate;
  for (int32_t left = 0; left + 1 < static_cast<int32_t>(symbols_.size()); ++left)
    if (consider(left, left + 1, candidate)) heap_.push_back(candidate);
  std::make_heap(heap_.begin(), heap_.end(), std::greater<>());

  while (!heap_.empty()) {
    std::pop_heap(heap_.begin(), heap_.end(), std::greater<>());
    Candidate top = heap_.back();
    heap_.pop_back();
    auto position = static_cast<int32_t>(top.order & 0xFFFFFFFF);
    Symbol& left = symbols_[position];
    if (left.id < 0 || left.next < 0) continue;
    Symbol& right = symbols_[left.next];
    const Merge* merge = model_.merges_.find(left.id, right.id);
    if (!merge || merge->result != top.result) continue;

    left.id = top.result;
    left.next = right.next;
    right.id = -1;
    if (left.next >= 0) symbols_[left.next].previous = position;
    push_candidate(left.previous, position);
    push_candidate(position, left.next);
  }
}

}  // namespace penstock::text
