// Python's str() and repr() of template values.
#include <charconv>
#include <cmath>
#include <cstdio>

#include "engine/text/template_value.h"

namespace penstock::jinja {
namespace {

void append_escape(std::string& out, int32_t c) {
  char buffer[12];
  const char* format = c <= 0xFF ? "\\x%02x" : c <= 0xFFFF ? "\\u%04x" : "\\U%08x";
  std::snprintf(buffer, sizeof buffer, format, static_cast<unsigned>(c));
  out += buffer;
}

void append_text_repr(TextBuilder& out, const Text& text) {
  const std::string& bytes = text.bytes;
  char quote = bytes.find('\'') != std::string::npos && bytes.find('"') == std::string::npos ? '"' : '\'';
  if (text.markup) out.literal("Markup(");
  out.literal({&quote, 1});
  std::string piece;
  for (size_t at = 0, next; at < bytes.size(); at = next) {
    int32_t c = code_point_at(bytes, at);
    next = at + char_bytes(static_cast<unsigned char>(bytes[at]));
    piece.clear();
    if (c == quote || c == '\\')
      piece = {'\\', static_cast<char>(c)};
    else if (c == '\n' || c == '\r' || c == '\t')
      piece = c == '\n' ? "\\n" : c == '\r' ? "\\r" : "\\t";
    else if (!is_printable(c))
      append_escape(piece, c);
    else
      piece = bytes.substr(at, next - at);
    out.derived(piece, in_request(text, at));
  }
  out.literal({&quote, 1});
  if (text.markup) out.literal(")");
}

void append_elements(TextBuilder& out, const std::vector<Value>& elements, int depth) {
  for (size_t i = 0; i < elements.size(); i++) {
    if (i) out.literal(", ");
    append_repr(out, elements[i], depth + 1);
  }
}

void append_range_repr(TextBuilder& out, const Sequence& range) {
  out.literal("range(" + std::to_string(range.start) + ", " + std::to_string(range.stop));
  out.literal(range.step == 1 ? ")" : ", " + std::to_string(range.step) + ")");
}

void append_sequence_repr(TextBuilder& out, const Sequence& sequence, int depth) {
  using Kind = Sequence::Kind;
  switch (sequence.kind) {
    case Kind::iterator:
      fail_unsupported("the text of a generator");
    case Kind::range:
      return append_range_repr(out, sequence);
    case Kind::tuple:
      out.literal("(");
      append_elements(out, sequence.elements, depth);
      return out.literal(sequence.elements.size() == 1 ? ",)" : ")");
    case Kind::list:
      out.literal("[");
      break;
    case Kind::keys:
      out.literal("dict_keys([");
      break;
    case Kind::values:
      out.literal("dict_values([");
      break;
    case Kind::items:
      out.literal("dict_items([");
      break;
  }
  append_elements(out, sequence.elements, depth);
  out.literal(sequence.kind == Kind::list ? "]" : "])");
}

void append_dict_repr(TextBuilder& out, const Dict& dict, int depth) {
  out.literal("{");
  for (size_t i = 0; i < dict.entries.size(); i++) {
    if (i) out.literal(", ");
    append_repr(out, dict.entries[i].first, depth + 1);
    out.literal(": ");
    append_repr(out, dict.entries[i].second, depth + 1);
  }
  out.literal("}");
}

}  // namespace

std::string float_repr(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value < 0 ? "-inf" : "inf";
  char buffer[400];
  double magnitude = std::fabs(value);
  bool exponent = magnitude != 0 && (magnitude < 1e-4 || magnitude >= 1e16);
  auto format = exponent ? std::chars_format::scientific : std::chars_format::fixed;
  std::string text(buffer, std::to_chars(buffer, buffer + sizeof buffer, value, format).ptr);
  if (!exponent && text.find('.') == std::string::npos) text += ".0";
  return text;
}

void append_repr(TextBuilder& out, const Value& value, int depth) {
  if (depth > max_value_depth) fail("a value is nested too deep to print");
  if (auto* text = as_text(value)) return append_text_repr(out, *text);
  if (auto* boolean = as<bool>(value)) return out.literal(*boolean ? "True" : "False");
  if (auto* integer = as<int64_t>(value)) return out.literal(std::to_string(*integer));
  if (auto* real = as<double>(value)) return out.literal(float_repr(*real));
  if (auto* sequence = as_sequence(value)) return append_sequence_repr(out, *sequence, depth);
  if (auto* dict = as_dict(value)) return append_dict_repr(out, *dict, depth);
  if (auto* object = as<Object*>(value)) return (*object)->append_repr(out, depth);
  out.literal(is_none(value) ? "None" : "Undefined");
}

TextPtr to_text(Budget& budget, const Value& value) {
  if (auto* text = as<TextPtr>(value)) return *text;
  TextBuilder out(budget);
  if (!is_undefined(value)) append_repr(out, value);
  return out.finish();
}

}  // namespace penstock::jinja
