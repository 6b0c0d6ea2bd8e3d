// Oniguruma's dialect read, PCRE2's written.
#include <cctype>

#include "engine/text/regex.h"
#include "engine/text/unicode.h"

namespace penstock::text {
namespace {

// White_Space, as class members. PCRE2's own \s (under UCP) also has U+180E, which Oniguruma's has not.
constexpr std::string_view kSpace =
    R"(\x09-\x0d\x20\x{85}\x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000})";
// PCRE2's \w lacks marks, letter numbers' neighbours and connectors.
constexpr std::string_view kWord =
    R"(\p{L}\p{M}\p{Nd}\p{Nl}\p{Pc}\x{24b6}-\x{24e9}\x{1f130}-\x{1f149}\x{1f150}-\x{1f169}\x{1f170}-\x{1f189})";

class Translator {
 public:
  Translator(std::string_view pattern, const Node& node) : pattern_(pattern), node_(node) {}

  std::string run() {
    while (at_ < pattern_.size()) {
      char c = pattern_[at_];
      if (c == '\\')
        escape(/*in_class=*/false);
      else if (c == '[')
        bracket();
      else if (c == '(')
        group();
      else if (c == '{')
        repeat();
      else
        copy(1);
    }
    return std::move(out_);
  }

 private:
  [[noreturn]] void refuse(const std::string& what) const {
    node_.fail("regex at byte " + std::to_string(at_) + ": " + what + " is not supported, in " + quote(pattern_));
  }
  bool next_is(std::string_view text) const { return pattern_.substr(at_).starts_with(text); }
  void copy(size_t count) {
    out_ += pattern_.substr(at_, count);
    at_ += count;
  }
  void write(std::string_view text, size_t consumed) {
    out_ += text;
    at_ += consumed;
  }
  // A set of members: bare inside a class, in brackets of its own outside.
  void write_set(std::string_view members, bool negated, bool in_class) {
    if (in_class && negated) refuse("a negated shorthand inside a class");
    std::string open = in_class ? "" : negated ? "[^" : "[";
    write(open + std::string(members) + (in_class ? "" : "]"), 2);
  }

  void escape(bool in_class) {
    if (at_ + 1 == pattern_.size()) refuse("a lone backslash");
    char c = pattern_[at_ + 1];
    switch (c) {
      case 's':
        return write_set(kSpace, false, in_class);
      case 'S':
        return in_class ? write(R"(\S\x{180e})", 2) : write_set(kSpace, true, false);
      case 'w':
        return write_set(kWord, false, in_class);
      case 'W':
        return write_set(kWord, true, in_class);
      case 'd':
      case 'D':
      case 'r':
      case 'n':
      case 't':
      case 'f':
        return copy(2);
      case 'v':
        return write(R"(\x0b)", 2);
      case 'p':
      case 'P':
        return property();
      case 'x':
      case 'u':
        return hexadecimal(c);
      default:
        break;
    }
    if (std::ispunct(static_cast<unsigned char>(c)) || c == ' ') return copy(2);
    refuse("a backslash before " + quote(pattern_.substr(at_ + 1, first_character(pattern_.data() + at_ + 1).bytes)));
  }

  void property() {
    size_t close = pattern_.find('}', at_);
    if (at_ + 2 >= pattern_.size() || pattern_[at_ + 2] != '{' || close == std::string_view::npos)
      refuse("a property without braces");
    copy(close + 1 - at_);
  }

  void hexadecimal(char kind) {
    size_t digits = at_ + 2, end = digits;
    bool braces = digits < pattern_.size() && pattern_[digits] == '{';
    if (braces) end = ++digits;
    size_t most = braces ? 8 : kind == 'u' ? 4 : 2;
    while (end < pattern_.size() && end - digits < most && std::isxdigit(static_cast<unsigned char>(pattern_[end])))
      ++end;
    bool closed = !braces || (end < pattern_.size() && pattern_[end] == '}');
    if (end == digits || !closed || (kind == 'u' && (braces || end - digits != 4))) refuse("this number escape");
    write("\\x{" + std::string(pattern_.substr(digits, end - digits)) + "}", end + (braces ? 1 : 0) - at_);
  }

  void bracket() {
    copy(1);
    if (next_is("^")) copy(1);
    if (next_is("]")) refuse("] as a first member");
    while (at_ < pattern_.size() && pattern_[at_] != ']') {
      if (pattern_[at_] == '[') refuse("a class inside a class");
      if (next_is("&&")) refuse("an intersection of classes");
      if (pattern_[at_] == '\\')
        escape(/*in_class=*/true);
      else
        copy(1);
    }
    if (at_ == pattern_.size()) refuse("an unclosed class");
    copy(1);
  }

  void group() {
    if (next_is("(*")) refuse("a verb");
    if (!next_is("(?")) return copy(1);
    for (std::string_view known : {"(?:", "(?=", "(?!", "(?<=", "(?<!", "(?>", "(?i:", "(?i)", "(?-i:", "(?-i)"})
      if (next_is(known)) return copy(known.size());
    refuse("this kind of group");
  }

  // {n}, {n,} and {n,m}; a + behind means "possessive" in PCRE2 and "again" in Oniguruma.
  void repeat() {
    size_t end = at_ + 1;
    auto digits = [&] {
      size_t begin = end;
      while (end < pattern_.size() && std::isdigit(static_cast<unsigned char>(pattern_[end]))) ++end;
      return end > begin;
    };
    bool counted = digits();
    if (counted && end < pattern_.size() && pattern_[end] == ',') {
      ++end;
      digits();
    }
    if (!counted || end == pattern_.size() || pattern_[end] != '}') refuse("this brace");
    ++end;
    if (end < pattern_.size() && pattern_[end] == '+') refuse("a + behind a counted repeat");
    copy(end - at_);
  }

  std::string_view pattern_;
  const Node& node_;
  size_t at_ = 0;
  std::string out_;
};

}  // namespace

std::string oniguruma_to_pcre(std::string_view pattern, const Node& node) { return Translator(pattern, node).run(); }

}  // namespace penstock::text
