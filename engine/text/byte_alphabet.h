// GPT-2's spelling of bytes as printable characters: visible Latin-1 stands for itself, the other 68 bytes are
// U+0100, U+0101, … in order of the byte.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace penstock::text {

char32_t character_of_byte(unsigned char byte);
std::optional<unsigned char> byte_of_character(char32_t code);

// Nothing when a character of `spelling` (valid UTF-8) is not of the alphabet.
std::optional<std::string> bytes_of_spelling(std::string_view spelling);

}  // namespace penstock::text
