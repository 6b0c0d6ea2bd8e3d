// The filters that make text.
#include <algorithm>

#include "engine/text/template_eval.h"
#include "engine/text/template_filters.h"

namespace penstock::jinja {

TextPtr escape_html(Budget& budget, const Text& text) {
  TextBuilder out(budget);
  if (text.markup) {
    out.append(text);
    return out.finish(true);
  }
  for (size_t at = 0; at < text.bytes.size();) {
    size_t next = std::min(text.bytes.find_first_of("&<>\"'", at), text.bytes.size());
    out.append(text, at, next);
    if (next == text.bytes.size()) break;
    char c = text.bytes[next];
    out.derived(c == '&'   ? "&amp;"
                : c == '<' ? "&lt;"
                : c == '>' ? "&gt;"
                : c == '"' ? "&#34;"
                           : "&#39;",
                in_request(text, next));
    at = next + 1;
  }
  return out.finish(true);
}

namespace {

TextPtr with_markup(const TextPtr& text, bool markup) {
  if (text->markup == markup) return text;
  Text copy = *text;
  copy.markup = markup;
  return std::make_shared<const Text>(std::move(copy));
}

template <Case to>
Value do_case(Interpreter& interpreter, const Value& subject, const Args& args) {
  args.bind("upper", {});
  return change_case(interpreter.budget(), *to_text(interpreter.budget(), subject), to);
}

// Words start after white space, hyphens and opening brackets, unlike in str.title.
Value do_title(Interpreter& interpreter, const Value& subject, const Args& args) {
  args.bind("title", {});
  Budget& budget = interpreter.budget();
  TextPtr text = to_text(budget, subject);
  TextBuilder out(budget);
  const std::string& bytes = text->bytes;
  auto parts_words = [](int32_t c) { return is_space(c) || c == '-' || c == '(' || c == '{' || c == '[' || c == '<'; };
  for (size_t at = 0, next; at < bytes.size(); at = next) {
    next = at + char_bytes(static_cast<unsigned char>(bytes[at]));
    if (parts_words(code_point_at(bytes, at))) {
      out.append(*text, at, next);
      continue;
    }
    size_t first = next;
    while (next < bytes.size() && !parts_words(code_point_at(bytes, next)))
      next += char_bytes(static_cast<unsigned char>(bytes[next]));
    out.append(*change_case(budget, *slice_bytes(budget, *text, at, first), Case::upper));
    out.append(*change_case(budget, *slice_bytes(budget, *text, first, next), Case::lower));
  }
  return out.finish();
}

Value do_trim(Interpreter& interpreter, const Value& subject, const Args& args) {
  auto bound = args.bind("trim", {"chars"});
  Args chars;
  if (bound[0]) chars.positional.push_back(*bound[0]);
  return call_text_method(interpreter, to_text(interpreter.budget(), subject), "strip", chars);
}

Value do_replace(Interpreter& interpreter, const Value& subject, const Args& args) {
  auto bound = args.bind("replace", {"old", "new", "count"}, 2);
  Budget& budget = interpreter.budget();
  Args plain;
  for (int i : {0, 1}) plain.positional.push_back(to_text(budget, *bound[static_cast<size_t>(i)]));
  if (bound[2]) plain.positional.push_back(*bound[2]);
  return call_text_method(interpreter, with_markup(to_text(budget, subject), false), "replace", plain);
}

Value do_string(Interpreter& interpreter, const Value& subject, const Args& args) {
  args.bind("string", {});
  return to_text(interpreter.budget(), subject);
}

Value do_safe(Interpreter& interpreter, const Value& subject, const Args& args) {
  args.bind("safe", {});
  return with_markup(to_text(interpreter.budget(), subject), true);
}

Value do_escape(Interpreter& interpreter, const Value& subject, const Args& args) {
  args.bind("escape", {});
  return escape_html(interpreter.budget(), *to_text(interpreter.budget(), subject));
}

Value do_forceescape(Interpreter& interpreter, const Value& subject, const Args& args) {
  args.bind("forceescape", {});
  return escape_html(interpreter.budget(), *with_markup(to_text(interpreter.budget(), subject), false));
}

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

Value do_format(Interpreter& interpreter, const Value& subject, const Args& args) {
  if (!args.named.empty()) fail("format: keyword arguments are not supported");
  return format_percent(interpreter, *to_text(interpreter.budget(), subject),
                        make_sequence(Sequence::Kind::tuple, args.positional));
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

}  // namespace

const std::vector<NamedFilter> text_filters = {{"capitalize", do_case<Case::capitalize>},
                                               {"e", do_escape},
                                               {"escape", do_escape},
                                               {"forceescape", do_forceescape},
                                               {"format", do_format},
                                               {"indent", do_indent},
                                               {"lower", do_case<Case::lower>},
                                               {"replace", do_replace},
                                               {"safe", do_safe},
                                               {"string", do_string},
                                               {"title", do_title},
                                               {"trim", do_trim},
                                               {"upper", do_case<Case::upper>},
                                               {"wordcount", do_wordcount}};

}  // namespace penstock::jinja
