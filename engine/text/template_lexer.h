// Cuts a Jinja template into tokens, with trim_blocks and lstrip_blocks on, as jinja2.lexer does.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/error.h"

namespace penstock::jinja {

// A template's source, for messages that show the line at fault.
class Source {
 public:
  Source(std::string_view text, std::string name);
  const std::string& text() const { return text_; }
  const std::string& name() const { return name_; }
  std::string shown(int line) const;                                   // that line's text, cut when it is long
  [[noreturn]] void fail(int line, const std::string& message) const;  // Error(bad_model)

 private:
  std::string text_;  // line ends are \n, one newline at the end is gone
  std::string name_;
};

struct Token {
  enum class Kind { data, variable_begin, variable_end, block_begin, block_end, name, string, integer, real, op, end };
  Kind kind;
  int line;
  std::string text;  // data and string: the content; name and op: as written
  int64_t integer = 0;
  double real = 0;

  bool is_op(std::string_view op) const { return kind == Kind::op && text == op; }
  bool is_name(std::string_view name) const { return kind == Kind::name && text == name; }
};

// The last token is `end`. Errors: Error(bad_model).
std::vector<Token> tokenize(const Source& source);

// Literals, as Python reads them. Errors through `source` at `line`.
std::string unescape(const Source& source, int line, std::string_view quoted);

}  // namespace penstock::jinja
