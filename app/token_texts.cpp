#include "app/token_texts.h"

#include "engine/text/byte_alphabet.h"
#include "engine/text/detokenizer.h"

namespace penstock {
namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

// "<0xE2>" stands for one byte in vocabularies with byte fallback.
std::optional<char> fallback_byte(std::string_view spelling) {
  if (spelling.size() != 6 || !spelling.starts_with("<0x") || spelling[5] != '>') return {};
  const int high = hex_digit(spelling[3]), low = hex_digit(spelling[4]);
  if (high < 0 || low < 0) return {};
  return static_cast<char>(high * 16 + low);
}

std::string bytes_of(const Tokenizer& tokenizer, int32_t id, const std::string& text) {
  const std::string spelling = tokenizer.id_to_token(id);
  if (const auto byte = fallback_byte(spelling)) return {*byte};
  return text::bytes_of_spelling(spelling).value_or(text);
}

// A character that stays unfinished shows as U+FFFD only in the piece of the token after it. How many of those stand
// before the token itself; none where it is a part of a character, too.
int64_t broken_before(const Tokenizer& tokenizer, int32_t id, std::string_view piece) {
  int64_t broken = 0;
  while (piece.substr(broken * kReplacement.size()).starts_with(kReplacement)) ++broken;
  if (broken == 0 || tokenizer.decode(std::vector{id}, false).find(kReplacement) != std::string::npos) return 0;
  return broken;
}

}  // namespace

TokenText token_text(const Tokenizer& tokenizer, std::optional<int32_t> before, int32_t id) {
  std::string text = tokenizer.decode(std::vector{id}, false);
  // A part of a character would merge with what stands before it.
  if (text.find(kReplacement) != text.npos) return {text, bytes_of(tokenizer, id, text)};
  if (before) {
    const std::string lead = tokenizer.decode(std::vector{*before}, false);
    const std::string both = tokenizer.decode(std::vector{*before, id}, false);
    if (both.starts_with(lead)) text = both.substr(lead.size());
  }
  return {text, text};
}

std::string sequel_text(const Tokenizer& tokenizer, int32_t before, std::span<const int32_t> ids,
                        const std::string& alone) {
  if (ids.empty()) return alone;
  const std::string first = tokenizer.decode(ids.first(1), false);
  const std::string after = token_text(tokenizer, before, ids[0]).text;
  if (after.size() <= first.size() || !after.ends_with(first)) return alone;
  return after.substr(0, after.size() - first.size()) + alone;
}

std::vector<int64_t> token_offsets(const Tokenizer& tokenizer, std::span<const int32_t> ids) {
  Detokenizer detokenizer(tokenizer);
  std::vector<int64_t> offsets;
  int64_t characters = 0;
  for (int32_t id : ids) {
    const std::string piece = detokenizer.push(id);
    offsets.push_back(characters + broken_before(tokenizer, id, piece));
    characters += count_characters(piece);
  }
  return offsets;
}

std::vector<int64_t> sequel_offsets(const Tokenizer& tokenizer, int32_t before, std::span<const int32_t> ids) {
  std::vector<int64_t> offsets = token_offsets(tokenizer, ids);
  const int64_t lead = count_characters(sequel_text(tokenizer, before, ids, ""));
  for (size_t i = 1; i < offsets.size(); ++i) offsets[i] += lead;
  return offsets;
}

int64_t count_characters(std::string_view text) {
  int64_t characters = 0;
  for (unsigned char byte : text) characters += (byte & 0xC0) != 0x80;
  return characters;
}

}  // namespace penstock
