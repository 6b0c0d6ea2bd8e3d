// The filters that lay text out, and those that measure it.
#include <algorithm>
#include <cmath>
#include <cstdio>

#include "engine/text/template_eval.h"
#include "engine/text/template_filters.h"

namespace penstock::jinja {
namespace {

Value do_indent(Interpreter& interpreter, const Value& subject, const Args& args) {
  auto bound = args.bind("indent", {"width", "first", "blank"});
  Budget& budget = interpreter.budget();
  bool first = bound[1] && truthy(*bound[1]), blank = bound[2] && truthy(*bound[2]);
  int64_t width = 4;
  TextPtr indention;
  if (!as_text(subject)) fail("indent: a string is required, not '" + std::string(type_name(subject)) + "'");
  if (bound[0] && as_text(*bound[0])) {
    indention = *as<TextPtr>(*bound[0]);
  } else {
    if (bound[0] && !as_int(*bound[0], width)) fail("indent: the width must be an integer or a string");
    if (width > static_cast<int64_t>(budget.max_text_bytes())) budget.check_length(SIZE_MAX);
    indention = make_text(std::string(static_cast<size_t>(std::max<int64_t>(width, 0)), ' '));
  }
  TextBuilder ended(budget);
  ended.append(*as_text(subject));
  ended.literal("\n");
  auto lines = interpreter.elements(call_text_method(interpreter, ended.finish(), "splitlines", {}));
  TextBuilder out(budget);
  for (size_t i = 0; i < lines.size(); i++) {
    auto& line = *as_text(lines[i]);
    if (i) out.literal("\n");
    if (i ? blank || !line.bytes.empty() : first) out.append(*indention);
    out.append(line);
  }
  return out.finish(as_text(subject)->markup);
}

Value do_wordcount(Interpreter& interpreter, const Value& subject, const Args& args) {
  args.bind("wordcount", {});
  const std::string bytes = to_text(interpreter.budget(), subject)->bytes;
  int64_t words = 0;
  bool inside = false;
  for (size_t at = 0; at < bytes.size(); at += char_bytes(static_cast<unsigned char>(bytes[at]))) {
    bool word = is_name_char(code_point_at(bytes, at));
    words += word && !inside;
    inside = word;
  }
  return words;
}

Value do_truncate(Interpreter& interpreter, const Value& subject, const Args& args) {
  auto bound = args.bind("truncate", {"length", "killwords", "end", "leeway"});
  Budget& budget = interpreter.budget();
  int64_t length = 255, leeway = 5;
  if ((bound[0] && !as_int(*bound[0], length)) || (bound[3] && !is_none(*bound[3]) && !as_int(*bound[3], leeway)))
    fail("truncate: length and leeway must be integers");
  if (bound[2] && !as_text(*bound[2])) fail("truncate: the end must be a string");
  TextPtr end = bound[2] ? *as<TextPtr>(*bound[2]) : make_text("...");
  int64_t kept = length - count_code_points(end->bytes);
  if (kept < 0 || leeway < 0) fail("truncate: the length must be at least the end's, and the leeway not negative");
  if (is_undefined(subject)) return subject;
  auto* text = as_text(subject);
  if (auto* sequence = as_sequence(subject); sequence && sequence->kind != Sequence::Kind::iterator &&
                                             static_cast<int64_t>(sequence->elements.size()) <= length + leeway)
    return subject;  // anything with a length that needs no cut
  if (!text) fail("truncate: a string is required, not '" + std::string(type_name(subject)) + "'");
  if (count_code_points(text->bytes) <= length + leeway) return subject;
  size_t cut = byte_of_code_point(text->bytes, kept);
  if (!bound[1] || !truthy(*bound[1]))
    if (size_t space = text->bytes.substr(0, cut).rfind(' '); space != std::string::npos) cut = space;
  TextBuilder out(budget);
  out.append(*text, 0, cut);
  out.append(text->markup ? *escape_html(budget, *end) : *end);
  return out.finish(text->markup);
}

Value do_filesizeformat(Interpreter&, const Value& subject, const Args& args) {
  auto bound = args.bind("filesizeformat", {"binary"});
  double bytes;
  bool binary = bound[0] && truthy(*bound[0]);
  if (is_undefined(subject)) fail_undefined(subject);
  if (auto* text = as_text(subject) ? as_text(subject) : nullptr) {
    if (!parse_python_float(text->bytes, bytes)) fail("filesizeformat: the string is no number");
  } else if (!as_number(subject, bytes)) {
    fail("filesizeformat: a number is required, not '" + std::string(type_name(subject)) + "'");
  }
  double base = binary ? 1024 : 1000, unit = base;
  if (bytes == 1) return text_value("1 Byte");
  if (!std::isfinite(bytes)) fail("filesizeformat: the number is not finite");
  if (bytes < base) {
    if (bytes <= -9.2e18) fail("an integer does not fit into 64 bits");
    return text_value(std::to_string(static_cast<int64_t>(bytes)) + " Bytes");
  }
  std::string_view letters = binary ? "KMGTPEZY" : "kMGTPEZY";
  size_t i = 0;
  do unit *= base;
  while (bytes >= unit && ++i + 1 < letters.size());
  if (i + 1 == letters.size()) unit = std::pow(base, static_cast<double>(letters.size() + 1));
  char buffer[400];
  std::snprintf(buffer, sizeof buffer, "%.1f %c%s", base * bytes / unit, letters[i], binary ? "iB" : "B");
  return text_value(buffer);
}

}  // namespace

const std::vector<NamedFilter> layout_filters = {{"filesizeformat", do_filesizeformat},
                                                 {"indent", do_indent},
                                                 {"truncate", do_truncate},
                                                 {"wordcount", do_wordcount},
                                                 {"wordwrap", do_wordwrap}};

}  // namespace penstock::jinja
