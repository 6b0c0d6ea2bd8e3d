// UTF-8 and the character classes that tokenizer files refer to. Class tables come from utf8proc; the definitions
// are those of Rust's char methods and of Oniguruma, because the files were written against them.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace penstock::text {

struct Utf8Step {
  enum Kind { good, bad, unfinished } kind;
  size_t bytes;   // good: the character's; bad: of the longest prefix that could have begun a character (at least 1)
  char32_t code;  // good only
};
// Looks at the first character of `rest`, which is not empty. `unfinished`: more bytes could make it a character.
Utf8Step utf8_step(std::string_view rest);

bool is_utf8(std::string_view text);

struct Character {
  char32_t code;
  uint32_t bytes;
};
// The character at the start of valid UTF-8.
inline Character first_character(const char* text) {
  auto byte = [text](int i) { return static_cast<char32_t>(static_cast<unsigned char>(text[i])); };
  if (byte(0) < 0x80) return {byte(0), 1};
  if (byte(0) < 0xE0) return {(byte(0) & 0x1F) << 6 | (byte(1) & 0x3F), 2};
  if (byte(0) < 0xF0) return {(byte(0) & 0x0F) << 12 | (byte(1) & 0x3F) << 6 | (byte(2) & 0x3F), 3};
  return {(byte(0) & 0x07) << 18 | (byte(1) & 0x3F) << 12 | (byte(2) & 0x3F) << 6 | (byte(3) & 0x3F), 4};
}
// The last character of valid, non-empty UTF-8.
Character last_character(std::string_view text);

void append_utf8(char32_t code, std::string& out);

// The four classes of GPT-2's pattern: every character is in exactly one.
enum class CharClass : uint8_t { other, space, letter, number };
CharClass char_class(char32_t code);

bool is_space(char32_t code);    // White_Space
bool is_numeric(char32_t code);  // general category N
bool is_word(char32_t code);     // \w of UTS 18: Alphabetic, marks, decimal digits, connectors, join controls

}  // namespace penstock::text
