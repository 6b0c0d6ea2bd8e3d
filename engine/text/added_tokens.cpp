#include "engine/text/added_tokens.h"

#include <algorithm>

namespace penstock::text {

AddedTokens::AddedTokens(const std::optional<Node>& list, const Vocabulary& vocabulary, const Normalizer* normalizer) {
  size_t count = list ? list->size() : 0;
  tokens_.reserve(count);  // by address from here on
  for (size_t i = 0; i < count; ++i) add(list->element(i), vocabulary, normalizer);

  std::vector<const AddedToken*> source, normalized;
  std::unordered_set<std::string_view> patterns;
  for (const AddedToken& token : tokens_) {
    (token.normalized ? normalized : source).push_back(&token);
    if (token.pattern.empty()) list->fail("holds " + quote(token.content) + ", which the normalizer makes empty");
    if (token.normalized && !patterns.insert(token.pattern).second)
      list->fail("holds two tokens that the normalizer makes " + quote(token.pattern));
  }
  in_source_.emplace(std::move(source));
  in_normalized_.emplace(std::move(normalized));
}

void AddedTokens::add(const Node& node, const Vocabulary& vocabulary, const Normalizer* normalizer) {
  node.only({"id", "content", "single_word", "lstrip", "rstrip", "normalized", "special"});
  AddedToken token{
      .id = node.at("id").token_id(),
      .content = node.at("content").string(),
      .pattern = {},
      .single_word = node.at("single_word").boolean(),
      .lstrip = node.at("lstrip").boolean(),
      .rstrip = node.at("rstrip").boolean(),
      .normalized = node.at("normalized").boolean(),
      .special = node.at("special").boolean(),
  };
  if (token.content.empty()) node.fail("has an empty content");
  // A text of 'a's is compared with "aaa…b" at every place.
  constexpr size_t kMostBytes = 1024;
  if (token.content.size() > kMostBytes) node.fail("has a content of more than 1024 bytes");
  if (!by_content_.emplace(token.content, token.id).second)
    node.fail("adds " + quote(token.content) + " a second time");
  token.pattern = token.normalized && normalizer ? normalizer->normalized(token.content) : token.content;

  // The tokenizers library ignores the id in the file and numbers new tokens itself, behind the vocabulary. Where
  // that differs, either answer would be a guess.
  auto count = static_cast<int64_t>(vocabulary.by_id().size());
  int64_t id = vocabulary.id(token.content)
                   .value_or(static_cast<int32_t>(std::max<int64_t>(count, static_cast<int64_t>(largest_id_) + 1)));
  if (token.id != id)
    node.fail("gives " + quote(token.content) + " the id " + std::to_string(token.id) +
              ", but the vocabulary's contents make it " + std::to_string(id));
  auto spelled = vocabulary.spelling(token.id);
  if ((spelled && *spelled != token.content) || !by_id_.emplace(token.id, tokens_.size()).second)
    node.fail("gives " + quote(token.content) + " the id " + std::to_string(token.id) + ", which another token has");
  largest_id_ = std::max(largest_id_, token.id);
  if (token.special) specials_.insert(token.content);
  tokens_.push_back(std::move(token));
}

const AddedToken* AddedTokens::find(int32_t id) const {
  auto found = by_id_.find(id);
  return found == by_id_.end() ? nullptr : &tokens_[found->second];
}

std::optional<int32_t> AddedTokens::id(std::string_view content) const {
  auto found = by_content_.find(std::string(content));
  if (found == by_content_.end()) return std::nullopt;
  return found->second;
}

}  // namespace penstock::text
