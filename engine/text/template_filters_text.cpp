// The filters that stand for methods and functions of Python.
#include <algorithm>

#include "engine/text/template_eval.h"
#include "engine/text/template_filters.h"

namespace penstock::jinja {

namespace {

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

Value do_format(Interpreter& interpreter, const Value& subject, const Args& args) {
  if (!args.named.empty() && !args.positional.empty())
    fail("can't handle positional and keyword arguments at the same time");
  Value values = make_sequence(Sequence::Kind::tuple, args.positional);
  if (!args.named.empty()) {
    std::vector<std::pair<Value, Value>> entries;
    for (auto& [name, value] : args.named) entries.emplace_back(text_value(name), value);
    values = make_dict(std::move(entries));
  }
  return format_percent(interpreter, *to_text(interpreter.budget(), subject), values);
}

Value do_center(Interpreter& interpreter, const Value& subject, const Args& args) {
  auto bound = args.bind("center", {"width"});
  Args width{{bound[0] ? *bound[0] : Value(int64_t{80})}, {}};
  return call_text_method(interpreter, to_text(interpreter.budget(), subject), "center", width);
}

}  // namespace

const std::vector<NamedFilter> text_filters = {{"capitalize", do_case<Case::capitalize>},
                                               {"center", do_center},
                                               {"format", do_format},
                                               {"lower", do_case<Case::lower>},
                                               {"replace", do_replace},
                                               {"string", do_string},
                                               {"title", do_title},
                                               {"trim", do_trim},
                                               {"upper", do_case<Case::upper>}};

}  // namespace penstock::jinja
