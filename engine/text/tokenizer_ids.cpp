#include "engine/text/tokenizer_ids.h"

#include <algorithm>

namespace penstock {

using text::Node;

namespace {

Json parse_tokenizer(std::string_view json_text, const std::string& path) {
  try {
    return parse_json(json_text);
  } catch (const JsonError& e) {
    throw Error(ExitCode::bad_model, path + ": byte " + std::to_string(e.byte_offset) + ": " + e.what());
  }
}

// The Node of an element costs a string, and there are many: only complaints need one.
std::string merge_text(const Node& merges, size_t i) {
  const Json& merge = merges.json()[i];
  if (merge.is_string()) return merge.get<std::string>();
  if (merge.is_array() && merge.size() == 2 && merge[0].is_string() && merge[1].is_string())
    return merge[0].get<std::string>() + " " + merge[1].get<std::string>();
  merges.element(i).fail("must be a string or two strings");
}

std::string id_text(const char* what, int32_t id, const std::string& spelling) {
  return std::string(what) + " " + std::to_string(id) + ", " + quote(spelling);
}

}  // namespace

TokenizerIds::TokenizerIds(std::string_view json_text, const std::string& path) {
  const Json json = parse_tokenizer(json_text, path);
  const Node root(json, path), model = root.at("model");
  kind_ = model.find("type") ? model.type() : "BPE";  // files from before 2021 leave the type of BPE out
  read_vocabulary(model);
  if (const auto merges = model.find("merges")) read_merges(*merges);
  if (const auto list = root.find("added_tokens")) read_added(*list);
}

// Of BPE an object, of Unigram a list of pieces and their scores.
void TokenizerIds::read_vocabulary(const Node& model) {
  const Node vocabulary = model.at("vocab");
  if (vocabulary.json().is_object()) {
    for (const auto& [spelling, id] : vocabulary.json().items()) {
      if (!id.is_number_unsigned() || id.get<uint64_t>() >= INT32_MAX)
        vocabulary.fail("gives " + quote(spelling) + " an id that is not an integer from 0 to 2147483646");
      spellings_[id.get<int32_t>()] = spelling;
    }
    return;
  }
  for (size_t i = 0; i < vocabulary.size(); ++i) {
    const Json& piece = vocabulary.json()[i];
    if (!piece.is_array() || piece.size() != 2 || !piece[0].is_string() || !piece[1].is_number())
      vocabulary.element(i).fail("must be a string and a number");
    spellings_[static_cast<int32_t>(i)] = piece[0].get<std::string>();
    scores_.push_back(piece[1].get<double>());
  }
}

void TokenizerIds::read_merges(const Node& merges) {
  for (size_t i = 0; i < merges.size(); ++i) merges_.push_back(merge_text(merges, i));
}

void TokenizerIds::read_added(const Node& list) {
  for (size_t i = 0; i < list.size(); ++i) {
    const Node token = list.element(i);
    const int32_t id = token.at("id").token_id();
    spellings_[id] = token.at("content").string();
    added_[id] = {spellings_[id],
                  token.at("single_word").boolean(),
                  token.at("lstrip").boolean(),
                  token.at("rstrip").boolean(),
                  token.at("normalized").boolean(),
                  token.at("special").boolean()};
  }
}

std::string TokenizerIds::difference_from(const TokenizerIds& other) const {
  if (kind_ != other.kind_) return "it is of kind " + quote(kind_) + ", not " + quote(other.kind_);
  for (const auto& [id, spelling] : other.spellings_) {
    const auto mine = spellings_.find(id);
    if (mine == spellings_.end()) return "it lacks " + id_text("id", id, spelling);
    if (mine->second != spelling)
      return "its id " + std::to_string(id) + " is " + quote(mine->second) + ", not " + quote(spelling);
  }
  for (const auto& [id, spelling] : spellings_)
    if (!other.spellings_.contains(id)) return "it also has " + id_text("id", id, spelling);
  for (const auto* list : {&other.added_, &added_})
    for (const auto& [id, token] : *list) {
      const auto mine = added_.find(id), theirs = other.added_.find(id);
      if (mine == added_.end() || theirs == other.added_.end() || mine->second != theirs->second)
        return "it finds its " + id_text("added token", id, token.content) + " in another way";
    }
  const auto [mine, theirs] = std::mismatch(merges_.begin(), merges_.end(), other.merges_.begin(), other.merges_.end());
  if (mine != merges_.end() || theirs != other.merges_.end())
    return "its merges differ from number " + std::to_string(mine - merges_.begin() + 1) + " on";
  if (scores_ != other.scores_) return "its pieces have other scores";
  return {};
}

}  // namespace penstock
