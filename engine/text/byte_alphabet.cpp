#include "engine/text/byte_alphabet.h"

#include <array>

#include "engine/text/unicode.h"

namespace penstock::text {
namespace {

struct Alphabet {
  std::array<char32_t, 256> characters{};
  std::array<int16_t, 256 + 68> bytes{};  // -1: not of the alphabet

  Alphabet() {
    bytes.fill(-1);
    char32_t next = 256;
    for (int byte = 0; byte < 256; ++byte) {
      bool visible = (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte != 0xAD);
      characters[byte] = visible ? static_cast<char32_t>(byte) : next++;
      bytes[characters[byte]] = static_cast<int16_t>(byte);
    }
  }
};
const Alphabet alphabet;

}  // namespace

char32_t character_of_byte(unsigned char byte) { return alphabet.characters[byte]; }

std::optional<unsigned char> byte_of_character(char32_t code) {
  if (code >= alphabet.bytes.size() || alphabet.bytes[code] < 0) return std::nullopt;
  return static_cast<unsigned char>(alphabet.bytes[code]);
}

std::optional<std::string> bytes_of_spelling(std::string_view spelling) {
  std::string bytes;
  for (size_t at = 0; at < spelling.size();) {
    Character c = first_character(spelling.data() + at);
    auto byte = byte_of_character(c.code);
    if (!byte) return std::nullopt;
    bytes += static_cast<char>(*byte);
    at += c.bytes;
  }
  return bytes;
}

}  // namespace penstock::text
