// Python's int(text, base) and float(text).
#include <cctype>
#include <charconv>
#include <cstdlib>

#include "engine/text/template_filters.h"

namespace penstock::jinja {
namespace {

// Digits may be parted by single underscores; false where Python refuses them.
bool drop_underscores(std::string_view text, std::string& out) {
  for (size_t i = 0; i < text.size(); i++) {
    if (text[i] != '_') {
      out += text[i];
      continue;
    }
    bool between = i > 0 && i + 1 < text.size() && std::isalnum(static_cast<unsigned char>(text[i - 1])) &&
                   std::isalnum(static_cast<unsigned char>(text[i + 1]));
    if (!between) return false;
  }
  return !out.empty();
}

}  // namespace

bool parse_python_int(std::string_view text, int64_t base, int64_t& out) {
  if (base != 0 && (base < 2 || base > 36)) fail("int() base must be >= 2 and <= 36, or 0");
  text = trim_right(trim_left(text));
  bool negative = text.starts_with('-');
  if (negative || text.starts_with('+')) text.remove_prefix(1);
  char mark = text.size() > 2 && text[0] == '0' ? static_cast<char>(text[1] | 0x20) : '\0';
  int64_t marked = mark == 'x' ? 16 : mark == 'o' ? 8 : mark == 'b' ? 2 : 0;
  if (marked && (base == 0 || base == marked)) {
    base = marked;
    text.remove_prefix(text[2] == '_' ? 3 : 2);
  } else if (base == 0) {
    base = 10;
    if (text.size() > 1 && text[0] == '0' && text.find_first_not_of("0_") != std::string_view::npos) return false;
  }
  std::string digits = negative ? "-" : "";
  std::string plain;
  if (!drop_underscores(text, plain) || plain[0] == '-' || plain[0] == '+') return false;
  digits += plain;
  auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), out, static_cast<int>(base));
  if (error == std::errc::invalid_argument || end != digits.data() + digits.size()) return false;
  if (error != std::errc()) fail("an integer does not fit into 64 bits");
  return true;
}

bool parse_python_float(std::string_view text, double& out) {
  text = trim_right(trim_left(text));
  if (text.starts_with('+') && text.size() > 1 && text[1] != '-') text.remove_prefix(1);
  std::string plain;
  if (!drop_underscores(text, plain) || plain.find('(') != std::string::npos) return false;
  auto [end, error] = std::from_chars(plain.data(), plain.data() + plain.size(), out);
  if (end != plain.data() + plain.size()) return false;
  if (error == std::errc::result_out_of_range) out = std::strtod(plain.c_str(), nullptr);
  return error != std::errc::invalid_argument;
}

}  // namespace penstock::jinja
