// The template's text: its lines for error messages, and the escapes of its string literals.
#include <cstdio>

#include "engine/text/template_lexer.h"
#include "engine/text/template_text.h"

namespace penstock::jinja {
namespace {

std::string normalize_newlines(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); i++) {
    out += text[i] == '\r' ? '\n' : text[i];
    if (text[i] == '\r' && i + 1 < text.size() && text[i + 1] == '\n') i++;
  }
  return out;
}

int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  char lower = static_cast<char>(c | 0x20);
  return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

}  // namespace

Source::Source(std::string_view text, std::string name) : text_(normalize_newlines(text)), name_(std::move(name)) {
  if (text_.ends_with('\n')) text_.pop_back();
}

std::string Source::shown(int line) const {
  size_t begin = 0;
  for (int i = 1; i < line && begin < text_.size(); i++) {
    size_t newline = text_.find('\n', begin);
    begin = newline == std::string::npos ? text_.size() : newline + 1;
  }
  constexpr size_t longest_shown = 200;
  auto shown = text_.substr(begin, text_.find('\n', begin) - begin);
  if (shown.size() > longest_shown) shown = shown.substr(0, byte_of_code_point(shown, longest_shown)) + "…";
  return shown;
}

void Source::fail(int line, const std::string& message) const {
  throw Error(ExitCode::bad_model, name_ + ":" + std::to_string(line) + ": " + message + "\n  " + shown(line));
}

// As Python's "unicode-escape" codec after "backslashreplace", which jinja2 sends literals through: unknown escapes
// stay as written, and a backslash before a non-ASCII character leaves that character's escape without its backslash.
std::string unescape(const Source& source, int line, std::string_view quoted) {
  static constexpr std::string_view plain = "\n\\'\"abfnrtv", meaning = "\1\\'\"\a\b\f\n\r\t\v";
  std::string out;
  for (size_t i = 0; i < quoted.size(); i++) {
    if (quoted[i] != '\\') {
      out += quoted[i];
      continue;
    }
    char c = quoted[++i];
    if (auto at = plain.find(c); at != std::string_view::npos) {
      if (c != '\n') out += meaning[at];
    } else if (c >= '0' && c <= '7') {
      int32_t value = 0;
      size_t end = std::min(i + 3, quoted.size());
      for (; i < end && quoted[i] >= '0' && quoted[i] <= '7'; i++) value = value * 8 + (quoted[i] - '0');
      i--;
      append_utf8(out, value);
    } else if (c == 'x' || c == 'u' || c == 'U') {
      int32_t value = 0;
      size_t length = c == 'x' ? 2 : c == 'u' ? 4 : 8;
      for (size_t k = 1; k <= length; k++) {
        int digit = i + k < quoted.size() ? hex_value(quoted[i + k]) : -1;
        if (digit < 0 || value > 0x10FFFF) source.fail(line, "a truncated escape in a string");
        value = value * 16 + digit;
      }
      i += length;
      if (value > 0x10FFFF || (value >= 0xD800 && value < 0xE000))
        source.fail(line, "an escape in a string names no character");
      append_utf8(out, value);
    } else if (c == 'N') {
      source.fail(line, "\\N escapes are not supported");
    } else if (static_cast<unsigned char>(c) < 0x80) {
      out += '\\';
      out += c;
    } else {
      int32_t value = code_point_at(quoted, i);
      char buffer[12];
      std::snprintf(buffer, sizeof buffer,
                    value <= 0xFF     ? "\\x%02x"
                    : value <= 0xFFFF ? "\\u%04x"
                                      : "\\U%08x",
                    static_cast<unsigned>(value));
      out += buffer;
      i += char_bytes(static_cast<unsigned char>(c)) - 1;
    }
  }
  return out;
}

}  // namespace penstock::jinja
