#include "engine/text/template_format_spec.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

namespace penstock::jinja {
namespace {

bool is_one_of(char c, std::string_view set) { return c != '\0' && set.find(c) != std::string_view::npos; }

int64_t read_number(std::string_view text, size_t& at) {
  int64_t value = 0;
  for (; at < text.size() && text[at] >= '0' && text[at] <= '9'; at++)
    if ((value = value * 10 + (text[at] - '0')) > max_format_width) fail("a format's width is too large");
  return value;
}

std::string print_real(const char* format, int64_t precision, double value) {
  int length = std::snprintf(nullptr, 0, format, static_cast<int>(precision), value);
  std::string text(static_cast<size_t>(length) + 1, '\0');
  std::snprintf(text.data(), text.size(), format, static_cast<int>(precision), value);
  text.pop_back();
  return text;
}

std::string in_base(uint64_t value, unsigned base, bool upper) {
  const char* const kDigits = upper ? "0123456789ABCDEF" : "0123456789abcdef";
  std::string digits;
  do {
    digits += kDigits[value % base];
    value /= base;
  } while (value);
  std::reverse(digits.begin(), digits.end());
  return digits;
}

// A float without a type looks like repr, and with a precision like 'g' that keeps a digit after the point.
std::string plain_real(const FormatSpec& spec, double magnitude) {
  if (spec.precision < 0) return float_repr(magnitude);
  int64_t precision = std::max<int64_t>(spec.precision, 1);
  std::string scientific = print_real("%.*e", precision - 1, magnitude);
  int exponent = std::atoi(scientific.c_str() + scientific.find('e') + 1);
  if (magnitude != 0 && exponent + 1 > -4 && exponent + 1 <= precision - 1) {
    std::string digits = print_real("%.*g", precision, magnitude);
    return digits.find('.') == std::string::npos ? digits + ".0" : digits;
  }
  if (magnitude == 0) return "0.0";
  if (exponent + 1 <= 0 && exponent + 1 > -4) return print_real("%.*g", precision, magnitude);
  size_t mark = scientific.find('e');
  std::string mantissa = scientific.substr(0, mark);
  if (mantissa.find('.') != std::string::npos) {
    mantissa.erase(mantissa.find_last_not_of('0') + 1);
    if (mantissa.back() == '.') mantissa.pop_back();
  }
  return mantissa + scientific.substr(mark);
}

std::string finite_real(const FormatSpec& spec, double magnitude) {
  int64_t precision = spec.precision < 0 ? 6 : spec.precision;
  switch (spec.type) {
    case '\0':
      return plain_real(spec, magnitude);
    case '%':
      return print_real(spec.alternate ? "%#.*f" : "%.*f", precision, magnitude * 100);
    case 'n':
      return print_real(spec.alternate ? "%#.*g" : "%.*g", precision, magnitude);
    default: {
      const char format[] = {'%', '#', '.', '*', spec.type, '\0'};
      const char without[] = {'%', '.', '*', spec.type, '\0'};
      return print_real(spec.alternate ? format : without, precision, magnitude);
    }
  }
}

std::string sign_text(const FormatSpec& spec, bool negative) {
  return negative ? "-" : spec.sign == '-' ? "" : std::string(1, spec.sign);
}

std::string grouped(const std::string& digits, char separator, size_t group) {
  std::string out;
  for (size_t i = 0; i < digits.size(); i++) {
    if (i && (digits.size() - i) % group == 0) out += separator;
    out += digits[i];
  }
  return out;
}

[[noreturn]] void fail_type(const FormatSpec& spec, const Value& value) {
  fail("unknown format code '" + std::string(1, spec.type) + "' for an object of type '" +
       std::string(type_name(value)) + "'");
}

}  // namespace

FormatSpec parse_format_spec(std::string_view text) {
  FormatSpec spec;
  size_t at = 0, first = text.empty() ? 0 : char_bytes(static_cast<unsigned char>(text[0]));
  auto current = [&] { return at < text.size() ? text[at] : '\0'; };
  bool explicit_fill = first > 0 && first < text.size() && is_one_of(text[first], "<>=^");
  if (explicit_fill) {
    spec.fill = text.substr(0, first);
    at = first;
  }
  if (is_one_of(current(), "<>=^")) spec.align = text[at++];
  if (is_one_of(current(), "+- ")) spec.sign = text[at++];
  if (current() == 'z') spec.no_negative_zero = true, at++;
  if (current() == '#') spec.alternate = true, at++;
  if (!explicit_fill && current() == '0') {
    spec.fill = "0";
    spec.zero_padded = spec.align == '\0';
    at++;
  }
  spec.width = read_number(text, at);
  if (is_one_of(current(), ",_")) spec.grouping = text[at++];
  if (is_one_of(current(), ",_")) fail("a format cannot have two kinds of grouping");
  if (current() == '.') {
    size_t digits = ++at;
    spec.precision = read_number(text, at);
    if (at == digits) fail("format specifier missing precision");
  }
  if (at < text.size()) spec.type = text[at++];
  if (at < text.size()) fail("invalid format specifier '" + std::string(text) + "'");
  return spec;
}

NumberText integer_text(const FormatSpec& spec, int64_t value) {
  uint64_t magnitude = value < 0 ? 0 - static_cast<uint64_t>(value) : static_cast<uint64_t>(value);
  unsigned base = spec.type == 'b' ? 2 : spec.type == 'o' ? 8 : (spec.type | 0x20) == 'x' ? 16 : 10;
  NumberText number{sign_text(spec, value < 0), "", in_base(magnitude, base, spec.type == 'X'), ""};
  if (spec.alternate && base != 10) number.prefix = {'0', spec.type};
  return number;
}

NumberText real_text(const FormatSpec& spec, double value) {
  std::string text;
  if (std::isfinite(value))
    text = finite_real(spec, std::fabs(value));
  else
    text = std::isnan(value) ? "nan" : "inf";
  if (!std::isfinite(value) && is_one_of(spec.type, "FEG"))
    for (char& c : text) c = static_cast<char>(c - 0x20);
  bool negative = std::signbit(value) && !std::isnan(value);
  if (spec.no_negative_zero && text.find_first_not_of("0.e+-%") == std::string::npos) negative = false;
  size_t whole = std::min(text.find_first_not_of("0123456789"), text.size());
  return {sign_text(spec, negative), "", text.substr(0, whole), text.substr(whole) + (spec.type == '%' ? "%" : "")};
}

void append_number(TextBuilder& out, const FormatSpec& spec, NumberText number) {
  size_t group = is_one_of(spec.type, "boxX") ? 4 : 3;
  auto body = [&] { return spec.grouping ? grouped(number.digits, spec.grouping, group) : number.digits; };
  auto width = static_cast<size_t>(spec.width);
  std::string before = number.sign + number.prefix;
  bool zeros = spec.zero_padded || (spec.fill == "0" && spec.align == '=');
  while (zeros && spec.grouping && !number.digits.empty() &&
         before.size() + body().size() + number.suffix.size() < width)
    number.digits.insert(number.digits.begin(), '0');
  std::string digits = body() + number.suffix;
  size_t length = before.size() + digits.size();
  size_t padding = width > length ? width - length : 0, left = padding;
  char align = spec.align ? spec.align : spec.zero_padded ? '=' : '>';
  if (align == '<') left = 0;
  if (align == '^') left = padding / 2;
  if (align == '=') out.literal(before);
  for (size_t i = 0; i < left; i++) out.literal(spec.fill);
  out.literal(align == '=' ? digits : before + digits);
  for (size_t i = left; i < padding; i++) out.literal(spec.fill);
}

void append_padded(TextBuilder& out, const FormatSpec& spec, const Text& text, char align) {
  size_t end = spec.precision < 0 ? text.bytes.size() : byte_of_code_point(text.bytes, spec.precision);
  int64_t length = count_code_points(std::string_view(text.bytes).substr(0, end));
  int64_t padding = std::max<int64_t>(spec.width - length, 0);
  int64_t left = align == '>' ? padding : align == '^' ? padding / 2 : 0;
  for (int64_t i = 0; i < left; i++) out.literal(spec.fill);
  out.append(text, 0, end);
  for (int64_t i = left; i < padding; i++) out.literal(spec.fill);
}

void append_formatted(TextBuilder& out, const FormatSpec& spec, const Value& value) {
  bool integer_type = is_one_of(spec.type, "bcdnoxX");
  int64_t integer;
  if (auto* text = as_text(value)) {
    if (spec.type != '\0' && spec.type != 's') fail_type(spec, value);
    if (spec.align == '=' || spec.sign != '-' || spec.alternate || spec.grouping)
      fail("the format of a string cannot have a sign, '=', '#' or grouping");
    return append_padded(out, spec, *text, spec.align ? spec.align : '<');
  }
  if (auto* real = as<double>(value); real || is_one_of(spec.type, "eEfFgG%")) {
    double number;
    if (!as_number(value, number)) fail_type(spec, value);
    if (spec.type && !is_one_of(spec.type, "eEfFgG%n")) fail_type(spec, value);
    if (spec.type == 'n' && spec.grouping) fail("cannot specify grouping with 'n'");
    return append_number(out, spec, real_text(spec, number));
  }
  if (!as_int(value, integer)) fail("unsupported format string passed to " + std::string(type_name(value)));
  if (spec.type && !integer_type) fail_type(spec, value);
  if (spec.precision >= 0) fail("precision not allowed in an integer's format");
  if (spec.no_negative_zero) fail("negative zero coercion not allowed in an integer's format");
  if (spec.grouping && (is_one_of(spec.type, "cn") || (spec.grouping == ',' && is_one_of(spec.type, "boxX"))))
    fail("cannot specify this grouping with '" + std::string(1, spec.type) + "'");
  if (spec.type != 'c') return append_number(out, spec, integer_text(spec, integer));
  if (spec.sign != '-' || spec.alternate) fail("sign and '#' are not allowed with 'c'");
  if (integer < 0 || integer > 0x10FFFF || (integer >= 0xD800 && integer < 0xE000))
    fail("'c' of a number that is no character");
  std::string character;
  append_utf8(character, static_cast<int32_t>(integer));
  append_padded(out, spec, *make_text(character), spec.align ? spec.align : '>');
}

TextPtr ascii_repr(Budget& budget, const Value& value) {
  TextBuilder repr(budget), out(budget);
  append_repr(repr, value);
  Text text = repr.take();
  for (size_t at = 0, next; at < text.bytes.size(); at = next) {
    next = at + char_bytes(static_cast<unsigned char>(text.bytes[at]));
    if (next == at + 1) {
      out.append(text, at, next);
      continue;
    }
    int32_t c = code_point_at(text.bytes, at);
    char buffer[12];
    std::snprintf(buffer, sizeof buffer,
                  c <= 0xFF     ? "\\x%02x"
                  : c <= 0xFFFF ? "\\u%04x"
                                : "\\U%08x",
                  static_cast<unsigned>(c));
    out.derived(buffer, in_request(text, at));
  }
  return out.finish();
}

}  // namespace penstock::jinja
