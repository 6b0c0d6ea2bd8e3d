// map, select, reject and their kin: filters that apply other filters and tests.
#include "engine/text/template_eval.h"
#include "engine/text/template_filters.h"
#include "engine/text/template_paths.h"

namespace penstock::jinja {

Path::Path(const Value& attribute) {
  auto* text = as_text(attribute);
  if (is_none(attribute)) return;
  if (!text) {
    parts_.push_back(attribute);
    return;
  }
  for (size_t begin = 0, end; begin <= text->bytes.size(); begin = end + 1) {
    end = std::min(text->bytes.find('.', begin), text->bytes.size());
    auto part = text->bytes.substr(begin, end - begin);
    int64_t index;
    bool number = !part.empty() && part.find_first_not_of("0123456789") == std::string::npos;
    if (number && parse_python_int(part, 10, index))
      parts_.push_back(index);
    else
      parts_.push_back(text_value(part));
  }
}

Value Path::of(Interpreter& interpreter, Value element, const Value* fallback) const {
  for (auto& part : parts_) {
    element = interpreter.item(element, part);
    if (fallback && is_undefined(element)) element = *fallback;
  }
  return element;
}

namespace {

Args rest_of(const Args& args, size_t from) {
  return {{args.positional.begin() + static_cast<std::ptrdiff_t>(from), args.positional.end()}, args.named};
}

Value do_map(Interpreter& interpreter, const Value& subject, const Args& args) {
  std::vector<Value> out;
  if (!truthy(subject)) return make_sequence(Sequence::Kind::iterator, {});
  if (args.positional.empty()) {
    auto bound = args.bind("map", {"attribute", "default"});
    if (!bound[0]) fail("map requires a filter argument");
    Path path(*bound[0]);
    const Value* fallback = bound[1] && !is_none(*bound[1]) ? bound[1] : nullptr;
    for (auto& element : interpreter.elements(subject)) out.push_back(path.of(interpreter, element, fallback));
  } else {
    auto* name = as_text(args.positional[0]);
    auto filter = name ? find_filter(name->bytes) : nullptr;
    Args rest = rest_of(args, 1);
    for (auto& element : interpreter.elements(subject)) {
      if (!filter) fail("no filter named '" + (name ? name->bytes : "") + "'");
      out.push_back(filter(interpreter, element, rest));
    }
  }
  return make_sequence(Sequence::Kind::iterator, std::move(out));
}

template <bool wanted, bool by_attribute>
Value do_select(Interpreter& interpreter, const Value& subject, const Args& args) {
  std::vector<Value> out;
  if (!truthy(subject)) return make_sequence(Sequence::Kind::iterator, {});
  size_t test_at = by_attribute ? 1 : 0;
  if (args.positional.size() < test_at) fail("missing parameter for attribute name");
  Path path(by_attribute ? args.positional[0] : Value(None{}));
  TestFunction test = nullptr;
  Args rest;
  if (args.positional.size() > test_at) {
    auto* name = as_text(args.positional[test_at]);
    test = name ? find_test(name->bytes) : nullptr;
    if (!test) fail("no test named '" + (name ? name->bytes : "") + "'");
    rest = rest_of(args, test_at + 1);
  }
  for (auto& element : interpreter.elements(subject)) {
    Value value = path.of(interpreter, element);
    if ((test ? test(interpreter, value, rest) : truthy(value)) == wanted) out.push_back(element);
  }
  return make_sequence(Sequence::Kind::iterator, std::move(out));
}

}  // namespace

const std::vector<NamedFilter> selecting_filters = {{"map", do_map},
                                                    {"reject", do_select<false, false>},
                                                    {"rejectattr", do_select<false, true>},
                                                    {"select", do_select<true, false>},
                                                    {"selectattr", do_select<true, true>}};

}  // namespace penstock::jinja
