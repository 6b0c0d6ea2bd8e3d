#include "engine/text/bpe.h"

#include "engine/text/byte_alphabet.h"
#include "engine/text/unicode.h"

namespace penstock::text {
namespace {

// "" is how older files write "none".
void refuse_unless_empty(const Node& node, const char* key) {
  if (auto value = node.find(key); value && !value->string().empty()) value->fail("is not supported");
}

}  // namespace

BpeModel::BpeModel(const Node& node, WordUnit unit)
    : vocabulary_(node.at("vocab")),
      unit_(unit),
      fuse_unknown_(node.boolean_or("fuse_unk", false)),
      byte_fallback_(node.boolean_or("byte_fallback", false)),
      ignore_merges_(node.boolean_or("ignore_merges", false)) {
  node.only({"type", "dropout", "unk_token", "continuing_subword_prefix", "end_of_word_suffix", "fuse_unk",
             "byte_fallback", "ignore_merges", "vocab", "merges"});
  if (auto dropout = node.find("dropout"); dropout && dropout->json() != 0)
    dropout->fail("is not supported: it makes the ids random");
  refuse_unless_empty(node, "continuing_subword_prefix");
  refuse_unless_empty(node, "end_of_word_suffix");
  if (auto unknown = node.find("unk_token")) {
    unknown_id_ = vocabulary_.id(unknown->string());
    if (!unknown_id_) unknown->fail("is not in the vocabulary");
  }
  words_begin_at_marks_ = unit_ == WordUnit::characters && !ignore_merges_ && vocabulary_.id(kSpaceMark).has_value();
  read_merges(node.at("merges"));
  prepare_bytes();
  if (ignore_merges_ && unit_ == WordUnit::bytes) index_words();
}

void BpeModel::read_merges(const Node& merges) {
  merges_.reserve(merges.size());
  for (size_t i = 0; i < merges.size(); ++i) {
    // The Node of an element costs a string; only complaints need one.
    const Json& merge = merges.json()[i];
    auto rank = static_cast<uint32_t>(i);
    if (merge.is_string()) {
      std::string_view both = merge.get_ref<const std::string&>();
      size_t space = both.find(' ');
      if (space == std::string_view::npos || both.find(' ', space + 1) != std::string_view::npos)
        merges.element(i).fail("must be two tokens with one space between them");
      add_merge(merges, both.substr(0, space), both.substr(space + 1), rank);
    } else if (merge.is_array() && merge.size() == 2 && merge[0].is_string() && merge[1].is_string()) {
      add_merge(merges, merge[0].get_ref<const std::string&>(), merge[1].get_ref<const std::string&>(), rank);
    } else {
      merges.element(i).fail("must be a string or two strings");
    }
  }
}

void BpeModel::add_merge(const Node& merges, std::string_view left, std::string_view right, uint32_t rank) {
  auto need = [&](std::string_view spelling) {
    auto id = vocabulary_.id(spelling);
    if (!id) merges.element(rank).fail("needs " + quote(spelling) + ", which is not in the vocabulary");
    return *id;
  };
  if (right.starts_with(kSpaceMark) && !left.ends_with(kSpaceMark)) words_begin_at_marks_ = false;
  int32_t left_id = need(left), right_id = need(right);
  merges_.insert(left_id, right_id, {rank, need(std::string(left).append(right))});
}

// ignore_merges looks whole words up, and words are raw bytes here. Tokens with characters outside the byte
// alphabet cannot be words.
void BpeModel::index_words() {
  struct Word {
    size_t begin, bytes;
    int32_t id;
  };
  std::vector<Word> words;
  for (const auto& [id, spelling] : vocabulary_.by_id()) {
    auto bytes = bytes_of_spelling(spelling);
    if (!bytes) continue;
    words.push_back({word_bytes_.size(), bytes->size(), id});
    word_bytes_ += *bytes;
  }
  words_.reserve(words.size());
  for (const Word& word : words) words_.insert(std::string_view(word_bytes_).substr(word.begin, word.bytes), word.id);
}

BpeModel::Start BpeModel::start_of(std::string_view spelling) const {
  if (auto id = vocabulary_.id(spelling)) return {Start::symbol, *id};
  if (byte_fallback_) {
    bool all = true;
    for (char c : spelling) all &= fallback_ids_[static_cast<unsigned char>(c)] >= 0;
    if (all) return {Start::fallback, -1};
  }
  return {Start::unknown, -1};
}

void BpeModel::prepare_bytes() {
  for (int byte = 0; byte < 256; ++byte) {
    constexpr char kDigits[] = "0123456789ABCDEF";
    std::string fallback = std::string("<0x") + kDigits[byte >> 4] + kDigits[byte & 15] + ">";
    fallback_ids_[byte] = vocabulary_.id(fallback).value_or(-1);
  }
  for (int byte = 0; byte < 256; ++byte) {
    bool bytes = unit_ == WordUnit::bytes;
    append_utf8(bytes ? character_of_byte(static_cast<unsigned char>(byte)) : static_cast<char32_t>(byte),
                byte_spellings_[byte]);
    byte_starts_[byte] = start_of(byte_spellings_[byte]);
  }
}

}  // namespace penstock::text
