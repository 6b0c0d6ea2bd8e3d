// Text to numbers and values to text: int(), float(), str.format and the % operator.
#include <charconv>
#include <cmath>
#include <cstdio>

#include "engine/text/template_eval.h"
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

// {} {0} {name} and doubled braces. Conversions, attribute paths and format specs are not supported.
TextPtr format_braces(Interpreter& interpreter, const Text& format, const Args& args) {
  TextBuilder out(interpreter.budget());
  const std::string& bytes = format.bytes;
  size_t automatic = 0;
  for (size_t at = 0; at < bytes.size();) {
    size_t brace = std::min(bytes.find_first_of("{}", at), bytes.size());
    out.append(format, at, brace);
    at = brace;
    if (at == bytes.size()) break;
    if (at + 1 < bytes.size() && bytes[at + 1] == bytes[at]) {
      out.append(format, at, at + 1);
      at += 2;
      continue;
    }
    size_t close = bytes.find('}', at);
    if (bytes[at] == '}' || close == std::string::npos) fail("str.format: a single brace in the format");
    std::string_view field(bytes.data() + at + 1, close - at - 1);
    if (field.find_first_of("!:.[{") != std::string_view::npos)
      fail("str.format: the field {" + std::string(field) + "} is not supported");
    const Value* value = nullptr;
    int64_t index;
    if (field.empty() || parse_python_int(field, 10, index)) {
      size_t position = field.empty() ? automatic++ : static_cast<size_t>(index);
      if (position < args.positional.size()) value = &args.positional[position];
    } else {
      for (auto& [name, named] : args.named)
        if (name == field) value = &named;
    }
    if (!value) fail("str.format: no argument for {" + std::string(field) + "}");
    out.append(*to_text(interpreter.budget(), *value));
    at = close + 1;
  }
  return out.finish(format.markup);
}

namespace {

// One directive after its %: flags, width, precision and type.
struct Directive {
  std::string flags;
  int width = 0, precision = -1;
  char type = 0;
};

Directive parse_directive(std::string_view bytes, size_t& at) {
  Directive directive;
  auto number = [&] {
    int value = 0;
    for (; at < bytes.size() && bytes[at] >= '0' && bytes[at] <= '9'; at++)
      if ((value = value * 10 + (bytes[at] - '0')) > 1000) fail("a format's width is too large");
    return value;
  };
  while (at < bytes.size() && std::string_view("-+ 0#").find(bytes[at]) != std::string_view::npos)
    directive.flags += bytes[at++];
  directive.width = number();
  if (at < bytes.size() && bytes[at] == '.') directive.precision = (at++, number());
  if (at == bytes.size()) fail("incomplete format");
  directive.type = bytes[at++];
  return directive;
}

std::string format_number(const Directive& directive, const Value& value) {
  std::string spec = "%" + directive.flags + "*.*";
  char buffer[2400];
  double real;
  int64_t integer;
  if (std::string_view("fFeEgG").find(directive.type) != std::string_view::npos) {
    if (!as_number(value, real)) fail("must be real number, not " + std::string(type_name(value)));
    if (std::fabs(real) > 1e300) fail("the number is too large for a format");
    int precision = directive.precision < 0 ? 6 : directive.precision;
    std::snprintf(buffer, sizeof buffer, (spec + directive.type).c_str(), directive.width, precision, real);
    return buffer;
  }
  if (auto* given = as<double>(value); given && directive.type == 'd' && std::fabs(*given) < 9e18)
    integer = static_cast<int64_t>(*given);
  else if (!as_int(value, integer))
    fail("%" + std::string(1, directive.type) + " format: a number is required, not " + std::string(type_name(value)));
  if (directive.type != 'd' && integer < 0) fail("negative numbers in this base are not supported");
  std::snprintf(buffer, sizeof buffer, (spec + "l" + directive.type).c_str(), directive.width, directive.precision,
                static_cast<long>(integer));
  return buffer;
}

void append_padded(TextBuilder& out, const Directive& directive, const Text& text) {
  size_t end = directive.precision < 0 ? text.bytes.size() : byte_of_code_point(text.bytes, directive.precision);
  auto length = count_code_points(std::string_view(text.bytes).substr(0, end));
  std::string padding(static_cast<size_t>(std::max<int64_t>(directive.width - length, 0)), ' ');
  bool left = directive.flags.find('-') != std::string::npos;
  if (!left) out.literal(padding);
  out.append(text, 0, end);
  if (left) out.literal(padding);
}

}  // namespace

TextPtr format_percent(Interpreter& interpreter, const Text& format, const Value& values) {
  TextBuilder out(interpreter.budget());
  auto* tuple = as_sequence(values);
  if (tuple && tuple->kind != Sequence::Kind::tuple) tuple = nullptr;
  size_t used = 0, given = tuple ? tuple->elements.size() : 1;
  const std::string& bytes = format.bytes;
  for (size_t at = 0; at < bytes.size();) {
    size_t percent = std::min(bytes.find('%', at), bytes.size());
    out.append(format, at, percent);
    if (percent == bytes.size()) break;
    at = percent + 1;
    if (at < bytes.size() && bytes[at] == '(') fail("%(name) formats are not supported");
    Directive directive = parse_directive(bytes, at);
    if (directive.type == '%') {
      out.append(format, percent, percent + 1);
      continue;
    }
    if (used == given) fail("not enough arguments for format string");
    const Value& value = tuple ? tuple->elements[used] : values;
    used++;
    if (directive.type == 's') {
      append_padded(out, directive, *to_text(interpreter.budget(), value));
    } else if (directive.type == 'r') {
      TextBuilder repr(interpreter.budget());
      append_repr(repr, value);
      append_padded(out, directive, *repr.finish());
    } else {
      if (directive.type == 'i' || directive.type == 'u') directive.type = 'd';
      if (std::string_view("dxXofFeEgG").find(directive.type) == std::string_view::npos)
        fail("the format %" + std::string(1, directive.type) + " is not supported");
      out.literal(format_number(directive, value));
    }
  }
  if (used < given && (tuple || !as_dict(values))) fail("not all arguments converted during string formatting");
  return out.finish(format.markup);
}

}  // namespace penstock::jinja
