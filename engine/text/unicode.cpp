#include "engine/text/unicode.h"

#include <utf8proc.h>

#include <array>
#include <cstring>

namespace penstock::text {
namespace {

// The permitted range of the second byte for each first byte (Unicode, table 3-7).
struct Lead {
  size_t bytes;
  unsigned char low, high;
};
Lead lead_of(unsigned char first) {
  if (first >= 0xC2 && first <= 0xDF) return {2, 0x80, 0xBF};
  if (first == 0xE0) return {3, 0xA0, 0xBF};
  if (first == 0xED) return {3, 0x80, 0x9F};
  if (first >= 0xE1 && first <= 0xEF) return {3, 0x80, 0xBF};
  if (first == 0xF0) return {4, 0x90, 0xBF};
  if (first >= 0xF1 && first <= 0xF3) return {4, 0x80, 0xBF};
  if (first == 0xF4) return {4, 0x80, 0x8F};
  return {0, 0, 0};
}

CharClass class_from_category(char32_t code) {
  if (is_space(code)) return CharClass::space;
  switch (utf8proc_category(static_cast<utf8proc_int32_t>(code))) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
      return CharClass::letter;
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_NO:
      return CharClass::number;
    default:
      return CharClass::other;
  }
}

const auto ascii_classes = [] {
  std::array<CharClass, 128> classes;
  for (char32_t code = 0; code < 128; ++code) classes[code] = class_from_category(code);
  return classes;
}();

}  // namespace

Utf8Step utf8_step(std::string_view rest) {
  auto byte = [rest](size_t i) { return static_cast<unsigned char>(rest[i]); };
  if (byte(0) < 0x80) return {Utf8Step::good, 1, byte(0)};
  Lead lead = lead_of(byte(0));
  if (lead.bytes == 0) return {Utf8Step::bad, 1, 0};
  for (size_t i = 1; i < lead.bytes; ++i) {
    if (i == rest.size()) return {Utf8Step::unfinished, i, 0};
    unsigned char low = i == 1 ? lead.low : 0x80, high = i == 1 ? lead.high : 0xBF;
    if (byte(i) < low || byte(i) > high) return {Utf8Step::bad, i, 0};
  }
  return {Utf8Step::good, lead.bytes, first_character(rest.data()).code};
}

bool is_utf8(std::string_view text) {
  size_t at = 0;
  while (at < text.size()) {
    uint64_t block;
    if (at + sizeof block <= text.size()) {
      std::memcpy(&block, text.data() + at, sizeof block);
      if ((block & 0x8080808080808080u) == 0) {
        at += sizeof block;
        continue;
      }
    }
    Utf8Step step = utf8_step(text.substr(at));
    if (step.kind != Utf8Step::good) return false;
    at += step.bytes;
  }
  return true;
}

Character last_character(std::string_view text) {
  size_t at = text.size() - 1;
  while ((static_cast<unsigned char>(text[at]) & 0xC0) == 0x80) --at;
  return first_character(text.data() + at);
}

void append_utf8(char32_t code, std::string& out) {
  utf8proc_uint8_t bytes[4];
  auto count = utf8proc_encode_char(static_cast<utf8proc_int32_t>(code), bytes);
  out.append(reinterpret_cast<const char*>(bytes), static_cast<size_t>(count));
}

CharClass char_class(char32_t code) { return code < 128 ? ascii_classes[code] : class_from_category(code); }

bool is_space(char32_t code) {
  if (code < 0x80) return code == ' ' || (code >= '\t' && code <= '\r');
  return code == 0x85 || code == 0xA0 || code == 0x1680 || (code >= 0x2000 && code <= 0x200A) || code == 0x2028 ||
         code == 0x2029 || code == 0x202F || code == 0x205F || code == 0x3000;
}

bool is_numeric(char32_t code) { return char_class(code) == CharClass::number; }

bool is_word(char32_t code) {
  switch (utf8proc_category(static_cast<utf8proc_int32_t>(code))) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_MC:
    case UTF8PROC_CATEGORY_ME:
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_PC:
      return true;
    default:
      break;
  }
  // Join controls, and the circled and squared Latin letters, which are Alphabetic though symbols by category.
  return code == 0x200C || code == 0x200D || (code >= 0x24B6 && code <= 0x24E9) ||
         (code >= 0x1F130 && code <= 0x1F149) || (code >= 0x1F150 && code <= 0x1F169) ||
         (code >= 0x1F170 && code <= 0x1F189);
}

}  // namespace penstock::text
