#include "engine/text/template_lexer.h"

#include <algorithm>
#include <charconv>

#include "engine/text/template_text.h"

namespace penstock::jinja {
namespace {

using Kind = Token::Kind;

bool digit(char c) { return c >= '0' && c <= '9'; }

class Lexer {
 public:
  explicit Lexer(const Source& source) : source_(source), text_(source.text()) {}

  std::vector<Token> run() {
    while (at_ < text_.size()) markup();
    push(Kind::end, {});
    return std::move(tokens_);
  }

 private:
  std::string_view rest() const { return text_.substr(at_); }
  bool looking_at(std::string_view what) const { return rest().starts_with(what); }
  void push(Kind kind, std::string_view text) { tokens_.push_back({kind, line_, std::string(text)}); }

  void advance(size_t bytes) {
    auto passed = text_.substr(at_, bytes);
    line_ += static_cast<int>(std::count(passed.begin(), passed.end(), '\n'));
    at_ += passed.size();
    if (!passed.empty()) line_starting_ = passed.back() == '\n';
  }
  void skip_space() { advance(rest().size() - trim_left(rest()).size()); }

  // Template data up to `end`, stripped as the tag that follows wants it.
  void data(size_t end, char sign, bool variable) {
    auto content = text_.substr(at_, end - at_);
    if (sign == '-') {
      content = trim_right(content);
    } else if (sign != '+' && !variable) {
      size_t newline = content.rfind('\n');
      size_t line_begin = newline == std::string_view::npos ? 0 : newline + 1;
      bool starts_line = newline != std::string_view::npos || line_starting_;
      if (starts_line && trim_left(content.substr(line_begin)).empty()) content = content.substr(0, line_begin);
    }
    if (!content.empty()) push(Kind::data, content);
    advance(end - at_);
  }

  size_t next_tag() const {
    for (size_t i = at_; i + 1 < text_.size(); i++)
      if (text_[i] == '{' && (text_[i + 1] == '{' || text_[i + 1] == '%' || text_[i + 1] == '#')) return i;
    return std::string_view::npos;
  }

  char sign_at(size_t at) const {
    char c = at < text_.size() ? text_[at] : '\0';
    return c == '-' || c == '+' ? c : '\0';
  }

  void markup() {
    size_t tag = next_tag();
    if (tag == std::string_view::npos) {
      push(Kind::data, rest());
      return advance(rest().size());
    }
    char kind = text_[tag + 1], sign = sign_at(tag + 2);
    data(tag, sign, kind == '{');
    int opened = line_;
    size_t opening = sign ? 3 : 2;
    if (kind == '%' && raw_block(opening)) return;
    if (kind == '#') {
      advance(opening);
      return comment(opened);
    }
    push(kind == '{' ? Kind::variable_begin : Kind::block_begin, {});
    advance(opening);
    code(kind == '{');
  }

  // {#- … -#}: `opened` is its line.
  void comment(int opened) {
    size_t close = text_.find("#}", at_);
    if (close == std::string_view::npos) source_.fail(opened, "missing end of comment tag");
    bool has_content = close > at_;
    char sign = has_content ? sign_at(close - 1) : '\0';
    advance(close - at_);
    close_tag("#}", sign, true);
  }

  // At the two characters that close a tag: passes them and the white space that `sign` or trim_blocks removes.
  void close_tag(std::string_view close, char sign, bool trim_newline) {
    advance(close.size());
    if (sign == '-')
      skip_space();
    else if (sign != '+' && trim_newline && looking_at("\n"))
      advance(1);
  }

  // Matches `word` and its tag's end from `at`; returns the position of "%}", or npos.
  size_t match_tag_word(size_t at, std::string_view word, char& sign, bool plus_allowed) const {
    auto from = trim_left(text_.substr(at));
    if (!from.starts_with(word)) return std::string_view::npos;
    from = trim_left(from.substr(word.size()));
    sign = '\0';
    if (from.starts_with("-%}") || (plus_allowed && from.starts_with("+%}"))) {
      sign = from[0];
      from.remove_prefix(1);
    }
    return from.starts_with("%}") ? static_cast<size_t>(from.data() - text_.data()) : std::string_view::npos;
  }

  bool raw_block(size_t opening) {
    char sign;
    size_t close = match_tag_word(at_ + opening, "raw", sign, false);
    if (close == std::string_view::npos) return false;
    int opened = line_;
    advance(close - at_);
    close_tag("%}", sign, false);
    for (size_t tag = text_.find("{%", at_); tag != std::string_view::npos; tag = text_.find("{%", tag + 1)) {
      char begin_sign = sign_at(tag + 2), end_sign;
      size_t end = match_tag_word(tag + (begin_sign ? 3 : 2), "endraw", end_sign, true);
      if (end == std::string_view::npos) continue;
      data(tag, begin_sign, false);
      advance(end - at_);
      close_tag("%}", end_sign, true);
      return true;
    }
    source_.fail(opened, "missing end of raw directive");
  }

  bool end_of_code(bool variable) {
    std::string_view close = variable ? "}}" : "%}";
    char sign = sign_at(at_);
    if (variable && sign == '+') return false;
    if (!text_.substr(at_ + (sign ? 1 : 0)).starts_with(close)) return false;
    int line = line_;
    if (sign) advance(1);
    close_tag(close, sign, !variable);
    tokens_.push_back({variable ? Kind::variable_end : Kind::block_end, line, {}});
    return true;
  }

  void code(bool variable) {
    std::string open;  // the brackets that wait for their closing one
    while (at_ < text_.size()) {
      if (open.empty() && end_of_code(variable)) return;
      skip_space();
      if (at_ == text_.size()) break;
      if (open.empty() && end_of_code(variable)) return;
      char c = text_[at_];
      if (digit(c) && number())
        continue;
      else if (is_name_char(code_point_at(text_, at_)))
        name();
      else if (c == '\'' || c == '"')
        string(c);
      else
        op(open);
    }
  }

  void name() {
    size_t end = at_;
    while (end < text_.size() && is_name_char(code_point_at(text_, end)))
      end += char_bytes(static_cast<unsigned char>(text_[end]));
    push(Kind::name, text_.substr(at_, end - at_));
    advance(end - at_);
  }

  void string(char quote) {
    size_t end = at_ + 1;
    while (end < text_.size() && text_[end] != quote) end += text_[end] == '\\' ? 2 : 1;
    if (end >= text_.size()) source_.fail(line_, "a string has no end");
    push(Kind::string, unescape(source_, line_, text_.substr(at_ + 1, end - at_ - 1)));
    advance(end + 1 - at_);
  }

  // Digits with single underscores between them.
  size_t digits(size_t at, auto is_digit) const {
    size_t end = at;
    while (end < text_.size() && (is_digit(text_[end]) || (text_[end] == '_' && end > at && end + 1 < text_.size() &&
                                                           is_digit(text_[end + 1]))))
      end++;
    return end;
  }

  bool number() {
    size_t end = digits(at_, digit), fraction = end;
    if (end + 1 < text_.size() && text_[end] == '.' && digit(text_[end + 1])) fraction = digits(end + 1, digit);
    size_t exponent = fraction;
    if (exponent < text_.size() && (text_[exponent] | 0x20) == 'e') {
      size_t begin = exponent + 1 + (sign_at(exponent + 1) ? 1 : 0);
      if (begin < text_.size() && digit(text_[begin])) exponent = digits(begin, digit);
    }
    bool after_dot = at_ > 0 && text_[at_ - 1] == '.';
    return !after_dot && exponent > end ? real(exponent) : integer();
  }

  bool real(size_t end) {
    std::string plain(text_.substr(at_, end - at_));
    std::erase(plain, '_');
    push(Kind::real, plain);
    auto& value = tokens_.back().real;
    if (std::from_chars(plain.data(), plain.data() + plain.size(), value).ec != std::errc())
      source_.fail(line_, "number out of range");
    advance(end - at_);
    return true;
  }

  bool integer() {
    int base = 10;
    size_t end = digits(at_, digit);
    char mark = text_[at_] == '0' && at_ + 1 < text_.size() ? static_cast<char>(text_[at_ + 1] | 0x20) : '\0';
    auto in_base = [&](char c) {
      return base == 2 ? c == '0' || c == '1' : base == 8 ? c >= '0' && c <= '7' : std::isxdigit(c) != 0;
    };
    if (mark == 'b' || mark == 'o' || mark == 'x') {
      base = mark == 'b' ? 2 : mark == 'o' ? 8 : 16;
      size_t begin = at_ + 2 < text_.size() && text_[at_ + 2] == '_' ? at_ + 3 : at_ + 2;
      size_t stop = digits(begin, in_base);
      stop > begin ? end = stop : base = 10;
    } else if (text_[at_] == '0') {
      end = digits(at_, [](char c) { return c == '0'; });
    }
    std::string plain(text_.substr(at_, end - at_));
    std::erase(plain, '_');
    push(Kind::integer, plain);
    auto* first = plain.data() + (base == 10 ? 0 : 2);
    if (std::from_chars(first, plain.data() + plain.size(), tokens_.back().integer, base).ec != std::errc())
      source_.fail(line_, "integer out of range");
    advance(end - at_);
    return true;
  }

  void op(std::string& open) {
    static constexpr std::string_view ops[] = {"//", "**", "==", "!=", ">=", "<=", "+", "-", "/", "*", "%", "~", "[",
                                               "]",  "(",  ")",  "{",  "}",  ">",  "<", "=", ".", ":", "|", ",", ";"};
    auto found = std::find_if(std::begin(ops), std::end(ops), [&](auto op) { return looking_at(op); });
    if (found == std::end(ops)) {
      auto length = char_bytes(static_cast<unsigned char>(text_[at_]));
      source_.fail(line_, "unexpected char '" + std::string(text_.substr(at_, length)) + "'");
    }
    if (*found == "(" || *found == "[" || *found == "{") {
      open += *found == "(" ? ')' : *found == "[" ? ']' : '}';
    } else if (*found == ")" || *found == "]" || *found == "}") {
      if (open.empty() || open.back() != found->front())
        source_.fail(line_, "unexpected '" + std::string(*found) + "'");
      open.pop_back();
    }
    push(Kind::op, *found);
    advance(found->size());
  }

  const Source& source_;
  std::string_view text_;
  size_t at_ = 0;
  int line_ = 1;
  bool line_starting_ = true;  // what was passed last ended with a newline
  std::vector<Token> tokens_;
};

}  // namespace

std::vector<Token> tokenize(const Source& source) { return Lexer(source).run(); }

}  // namespace penstock::jinja
