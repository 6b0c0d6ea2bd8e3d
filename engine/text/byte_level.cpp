#include "engine/text/byte_level.h"

#include "engine/text/unicode.h"

namespace penstock::text {
namespace {

CharClass class_at(std::string_view text, size_t at, size_t& bytes) {
  Character c = first_character(text.data() + at);
  bytes = c.bytes;
  return char_class(c.code);
}

size_t contraction(std::string_view rest) {
  for (std::string_view ending : {"'s", "'t", "'re", "'ve", "'m", "'ll", "'d"})
    if (rest.starts_with(ending)) return ending.size();
  return 0;
}

// Past the characters of one class that begin at `at`. `last` is where the last of them begins.
size_t run_end(std::string_view text, size_t at, CharClass wanted, size_t& last) {
  size_t bytes = 0;
  last = at;
  while (at < text.size() && class_at(text, at, bytes) == wanted) {
    last = at;
    at += bytes;
  }
  return at;
}

size_t word_end(std::string_view text, size_t begin) {
  if (text[begin] == '\'')
    if (size_t bytes = contraction(text.substr(begin))) return begin + bytes;
  size_t bytes = 0, last = 0;
  CharClass first = class_at(text, begin, bytes);
  if (text[begin] == ' ' && begin + 1 < text.size()) {
    CharClass second = class_at(text, begin + 1, bytes);
    if (second != CharClass::space) return run_end(text, begin + 1, second, last);
  }
  size_t end = run_end(text, begin, first, last);
  // White space before a word leaves its last character to that word, if it has another.
  return first == CharClass::space && end < text.size() && last > begin ? last : end;
}

}  // namespace

void split_like_gpt2(const Piece& piece, PieceSink sink) {
  for (size_t begin = 0; begin < piece.text.size();) {
    size_t end = word_end(piece.text, begin);
    sink({piece.text.substr(begin, end - begin), piece.starts_text && begin == 0});
    begin = end;
  }
}

}  // namespace penstock::text
