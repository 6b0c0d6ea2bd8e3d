// How Python writes one value into a field: what str.format and the % operator share.
#pragma once
#include "engine/text/template_value.h"

namespace penstock::jinja {

// [[fill]align][sign][z][#][0][width][grouping][.precision][type]
struct FormatSpec {
  std::string fill = " ";  // one character
  char align = '\0';       // < > ^, or = between sign and digits; \0: the type's own
  char sign = '-';         // + - or space
  bool no_negative_zero = false, alternate = false, zero_padded = false;
  int64_t width = 0, precision = -1;
  char grouping = '\0';  // , or _
  char type = '\0';
};

FormatSpec parse_format_spec(std::string_view text);

// A number's digits with its sign and prefix, not yet padded.
struct NumberText {
  std::string sign, prefix, digits, suffix;  // `digits`: the integer part, which grouping parts
};
NumberText integer_text(const FormatSpec& spec, int64_t value);
NumberText real_text(const FormatSpec& spec, double value);
void append_number(TextBuilder& out, const FormatSpec& spec, NumberText number);
void append_padded(TextBuilder& out, const FormatSpec& spec, const Text& text, char align);

void append_formatted(TextBuilder& out, const FormatSpec& spec, const Value& value);  // format()
TextPtr ascii_repr(Budget& budget, const Value& value);

constexpr int64_t max_format_width = 100000;  // of a field, and of its precision

}  // namespace penstock::jinja
