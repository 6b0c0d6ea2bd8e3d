// The methods of Python's str that change its form or ask what it is made of, and how all of them are called.
#include "engine/text/template_text_methods.h"

#include <utf8proc.h>

#include <algorithm>

#include "engine/text/template_eval.h"

namespace penstock::jinja {

const Text& text_argument(const Value& value, std::string_view callee) {
  if (auto* text = as_text(value)) return *text;
  fail(std::string(callee) + "(): expected a string, got '" + std::string(type_name(value)) + "'");
}

int64_t integer_or(const Value* value, int64_t fallback) {
  int64_t out;
  if (!value || is_none(*value)) return fallback;
  if (!as_int(*value, out)) fail("expected an integer, got '" + std::string(type_name(*value)) + "'");
  return out;
}

namespace {

template <Case to>
Value cased(Interpreter& interpreter, const TextPtr& text, const Args& args) {
  args.bind("upper", {});
  return change_case(interpreter.budget(), *text, to);
}

// Unicode's full case folding, as str.casefold.
Value casefold(Interpreter& interpreter, const TextPtr& text, const Args& args) {
  args.bind("casefold", {});
  TextBuilder out(interpreter.budget());
  const std::string& bytes = text->bytes;
  for (size_t at = 0; at < bytes.size(); at += char_bytes(static_cast<unsigned char>(bytes[at]))) {
    int32_t folded[8];
    int last_class = 0;
    auto count = utf8proc_decompose_char(code_point_at(bytes, at), folded, 8, UTF8PROC_CASEFOLD, &last_class);
    std::string piece;
    for (int i = 0; i < count; i++) append_utf8(piece, folded[i]);
    out.derived(piece, in_request(*text, at));
  }
  return out.finish(text->markup);
}

// isdigit and its kin: every character satisfies the predicate, and there is one.
template <bool (*predicate)(int32_t)>
Value every_char(Interpreter&, const TextPtr& text, const Args& args) {
  args.bind("isspace", {});
  const std::string& bytes = text->bytes;
  for (size_t at = 0; at < bytes.size(); at += char_bytes(static_cast<unsigned char>(bytes[at])))
    if (!predicate(code_point_at(bytes, at))) return false;
  return !bytes.empty();
}

bool is_ascii(int32_t c) { return c < 0x80; }

// The predicates that also hold of an empty string.
template <bool (*predicate)(int32_t)>
Value empty_or_every_char(Interpreter& interpreter, const TextPtr& text, const Args& args) {
  return text->bytes.empty() ? args.bind("isascii", {}), true : every_char<predicate>(interpreter, text, args);
}

Value is_identifier(Interpreter&, const TextPtr& text, const Args& args) {
  args.bind("isidentifier", {});
  const std::string& bytes = text->bytes;
  for (size_t at = 0; at < bytes.size(); at += char_bytes(static_cast<unsigned char>(bytes[at]))) {
    int32_t c = code_point_at(bytes, at);
    auto category = utf8proc_category(c);
    bool starts = c == '_' || is_alpha(c) || category == UTF8PROC_CATEGORY_NL;
    bool continues = starts || category == UTF8PROC_CATEGORY_MN || category == UTF8PROC_CATEGORY_MC ||
                     category == UTF8PROC_CATEGORY_ND || category == UTF8PROC_CATEGORY_PC;
    if (at == 0 ? !starts : !continues) return false;
  }
  return !bytes.empty();
}

// No character of the other case, and one that has case.
template <bool upper>
Value is_all_case(Interpreter&, const TextPtr& text, const Args& args) {
  args.bind("isupper", {});
  bool cased = false;
  const std::string& bytes = text->bytes;
  for (size_t at = 0; at < bytes.size(); at += char_bytes(static_cast<unsigned char>(bytes[at]))) {
    int32_t c = code_point_at(bytes, at);
    if (is_title(c) || (upper ? is_lower(c) : is_upper(c))) return false;
    cased |= upper ? is_upper(c) : is_lower(c);
  }
  return cased;
}

// Every word starts with an upper or title case character and goes on in lower case.
Value is_titled(Interpreter&, const TextPtr& text, const Args& args) {
  args.bind("istitle", {});
  bool cased = false, inside = false;
  const std::string& bytes = text->bytes;
  for (size_t at = 0; at < bytes.size(); at += char_bytes(static_cast<unsigned char>(bytes[at]))) {
    int32_t c = code_point_at(bytes, at);
    bool starts = is_upper(c) || is_title(c), goes_on = is_lower(c);
    if ((starts && inside) || (goes_on && !inside)) return false;
    inside = starts || goes_on;
    cased |= inside;
  }
  return cased;
}

Value expandtabs(Interpreter& interpreter, const TextPtr& text, const Args& args) {
  int64_t width = integer_or(args.bind("expandtabs", {"tabsize"})[0], 8), column = 0;
  TextBuilder out(interpreter.budget());
  const std::string& bytes = text->bytes;
  for (size_t at = 0, next; at < bytes.size(); at = next) {
    next = at + char_bytes(static_cast<unsigned char>(bytes[at]));
    if (bytes[at] != '\t') {
      column = bytes[at] == '\n' || bytes[at] == '\r' ? 0 : column + 1;
      out.append(*text, at, next);
      continue;
    }
    int64_t spaces = width > 0 ? width - column % width : 0;
    if (spaces > static_cast<int64_t>(interpreter.budget().max_text_bytes()))
      interpreter.budget().check_length(SIZE_MAX);
    out.derived(std::string(static_cast<size_t>(spaces), ' '), in_request(*text, at));
    column += spaces;
  }
  return out.finish(text->markup);
}

enum class Side { left, right, centre, zeros };  // where the text goes; zeros: between a sign and the digits
template <Side side>
Value justify(Interpreter& interpreter, const TextPtr& text, const Args& args) {
  auto bound = side == Side::zeros ? args.bind("zfill", {"width"}, 1) : args.bind("ljust", {"width", "fillchar"}, 1);
  std::string fill = side == Side::zeros ? "0" : bound[1] ? text_argument(*bound[1], "ljust").bytes : " ";
  if (count_code_points(fill) != 1) fail("the fill character must be exactly one character long");
  int64_t width = integer_or(bound[0], 0), missing = width - count_code_points(text->bytes);
  if (missing > static_cast<int64_t>(interpreter.budget().max_text_bytes()))
    interpreter.budget().check_length(SIZE_MAX);
  missing = std::max<int64_t>(missing, 0);
  int64_t before = side == Side::left ? 0 : side == Side::centre ? missing / 2 + (missing & width & 1) : missing;
  size_t sign = side == Side::zeros && (text->bytes.starts_with('-') || text->bytes.starts_with('+')) ? 1 : 0;
  TextBuilder out(interpreter.budget());
  out.append(*text, 0, sign);
  for (int64_t i = 0; i < before; i++) out.literal(fill);
  out.append(*text, sign, text->bytes.size());
  for (int64_t i = before; i < missing; i++) out.literal(fill);
  return out.finish(text->markup);
}

Value format(Interpreter& interpreter, const TextPtr& text, const Args& args) {
  return format_braces(interpreter, *text, args);
}

Value format_map(Interpreter& interpreter, const TextPtr& text, const Args& args) {
  auto* dict = as_dict(*args.bind("format_map", {"mapping"}, 1)[0]);
  if (!dict) fail("format_map: a mapping is required");
  Args named;
  for (auto& [key, value] : dict->entries)
    if (as_text(key)) named.named.emplace_back(as_text(key)->bytes, value);
  return format_braces(interpreter, *text, named);
}

}  // namespace

const std::vector<NamedTextMethod> text_form_methods = {{"capitalize", cased<Case::capitalize>},
                                                        {"casefold", casefold},
                                                        {"center", justify<Side::centre>},
                                                        {"expandtabs", expandtabs, true},
                                                        {"format", format, true},
                                                        {"format_map", format_map},
                                                        {"isalnum", every_char<is_alphanumeric>},
                                                        {"isalpha", every_char<is_alpha>},
                                                        {"isascii", empty_or_every_char<is_ascii>},
                                                        {"isdecimal", every_char<is_decimal>},
                                                        {"isdigit", every_char<is_digit>},
                                                        {"isidentifier", is_identifier},
                                                        {"islower", is_all_case<false>},
                                                        {"isnumeric", every_char<is_numeric>},
                                                        {"isprintable", empty_or_every_char<is_printable>},
                                                        {"isspace", every_char<is_space>},
                                                        {"istitle", is_titled},
                                                        {"isupper", is_all_case<true>},
                                                        {"ljust", justify<Side::left>},
                                                        {"lower", cased<Case::lower>},
                                                        {"rjust", justify<Side::right>},
                                                        {"swapcase", cased<Case::swap>},
                                                        {"title", cased<Case::title>},
                                                        {"upper", cased<Case::upper>},
                                                        {"zfill", justify<Side::zeros>}};

Value call_text_method(Interpreter& interpreter, const TextPtr& subject, std::string_view name, const Args& args) {
  interpreter.budget().charge(static_cast<int64_t>(subject->bytes.size() / 1024));
  for (auto* group : {&text_part_methods, &text_form_methods})
    for (auto& method : *group) {
      if (method.name != name) continue;
      if (!method.keywords && !args.named.empty()) fail("str." + std::string(name) + "() takes no keyword arguments");
      return method.function(interpreter, subject, args);
    }
  fail_unsupported("str." + std::string(name));
}

}  // namespace penstock::jinja
