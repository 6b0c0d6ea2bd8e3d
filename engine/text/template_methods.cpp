// The methods of Python's str, dict, list and tuple.
#include <algorithm>

#include "engine/text/template_eval.h"
#include "engine/text/template_text_methods.h"

namespace penstock::jinja {
namespace {

using Names = std::vector<std::string_view>;

const Names text_methods = {
    "capitalize",   "casefold",   "center",    "count",       "encode",    "endswith",     "expandtabs",   "find",
    "format",       "format_map", "index",     "isalnum",     "isalpha",   "isascii",      "isdecimal",    "isdigit",
    "isidentifier", "islower",    "isnumeric", "isprintable", "isspace",   "istitle",      "isupper",      "join",
    "ljust",        "lower",      "lstrip",    "maketrans",   "partition", "removeprefix", "removesuffix", "replace",
    "rfind",        "rindex",     "rjust",     "rpartition",  "rsplit",    "rstrip",       "split",        "splitlines",
    "startswith",   "strip",      "swapcase",  "title",       "translate", "upper",        "zfill"};
const Names dict_methods = {"copy", "fromkeys", "get", "items", "keys", "values"};
const Names dict_changers = {"clear", "pop", "popitem", "setdefault", "update"};
const Names list_methods = {"copy", "count", "index"};
const Names list_changers = {"append", "clear", "extend", "insert", "pop", "remove", "reverse", "sort"};
const Names tuple_methods = {"count", "index"};

bool holds(const Names& names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

Value dict_method(Interpreter& interpreter, const Value& subject, std::string_view name, const Args& args) {
  using Kind = Sequence::Kind;
  auto& dict = *as_dict(subject);
  if (name == "get") {
    if (!args.named.empty()) fail("dict.get() takes no keyword arguments");
    auto bound = args.bind("get", {"key", "default"}, 1);
    require_hashable(*bound[0]);
    auto* found = dict.find(*bound[0]);
    return found ? *found : bound[1] ? *bound[1] : Value(None{});
  }
  if (name == "fromkeys") return dict_from_keys(interpreter, args);
  args.bind(name, {});
  interpreter.budget().charge(static_cast<int64_t>(dict.entries.size()));
  if (name == "copy") return subject;
  std::vector<Value> elements;
  elements.reserve(dict.entries.size());
  for (auto& [key, value] : dict.entries) {
    if (name == "keys")
      elements.push_back(key);
    else if (name == "values")
      elements.push_back(value);
    else
      elements.push_back(make_sequence(Kind::tuple, {key, value}));
  }
  return make_sequence(name == "keys"     ? Kind::keys
                       : name == "values" ? Kind::values
                                          : Kind::items,
                       std::move(elements));
}

Value sequence_method(Interpreter& interpreter, const Value& subject, std::string_view name, const Args& args) {
  if (name == "copy") return args.bind("copy", {}), subject;
  if (!args.named.empty()) fail(std::string(name) + "() takes no keyword arguments");
  auto bound = name == "index" ? args.bind(name, {"value", "start", "stop"}, 1) : args.bind(name, {"value"}, 1);
  const Value& wanted = *bound[0];
  auto& elements = as_sequence(subject)->elements;
  auto same = [&](const Value& element) { return equal(interpreter.budget(), element, wanted); };
  if (name == "count") return static_cast<int64_t>(std::count_if(elements.begin(), elements.end(), same));
  auto size = static_cast<int64_t>(elements.size());
  auto clamp = [&](const Value* bound, int64_t fallback) {
    int64_t index = integer_or(bound, fallback);
    return elements.begin() + std::clamp<int64_t>(index < 0 ? index + size : index, 0, size);
  };
  auto first = bound.size() > 1 ? clamp(bound[1], 0) : elements.begin();
  auto last = bound.size() > 1 ? clamp(bound[2], size) : elements.end();
  auto found = first < last ? std::find_if(first, last, same) : last;
  if (found == last) fail("the value is not in the list");
  return static_cast<int64_t>(found - elements.begin());
}

}  // namespace

Value dict_from_keys(Interpreter& interpreter, const Args& args) {
  if (!args.named.empty()) fail("fromkeys() takes no keyword arguments");
  auto bound = args.bind("fromkeys", {"iterable", "value"}, 1);
  if (is_undefined(*bound[0])) return make_dict({});
  std::vector<std::pair<Value, Value>> entries;
  interpreter.budget().charge_elements(4);
  for (auto& key : interpreter.elements(*bound[0])) entries.emplace_back(key, bound[1] ? *bound[1] : Value(None{}));
  return make_dict(std::move(entries));
}

// The sandbox hides what starts with an underscore and, being immutable, what changes a container.
Attribute find_method(const Value& subject, std::string_view name) {
  const Names* methods = nullptr;
  const Names* changers = nullptr;
  auto* sequence = as_sequence(subject);
  if (as_text(subject)) {
    methods = &text_methods;
  } else if (as_dict(subject)) {
    methods = &dict_methods;
    changers = &dict_changers;
  } else if (sequence && sequence->kind == Sequence::Kind::list) {
    methods = &list_methods;
    changers = &list_changers;
  } else if (sequence && (sequence->kind == Sequence::Kind::tuple || sequence->kind == Sequence::Kind::range)) {
    methods = &tuple_methods;
  }
  if (methods && holds(*methods, name)) return Attribute::method;
  if (changers && holds(*changers, name)) return Attribute::unsafe;
  return Attribute::missing;
}

Value call_method(Interpreter& interpreter, const Value& subject, std::string_view name, const Args& args) {
  if (auto* text = as<TextPtr>(subject)) return call_text_method(interpreter, *text, name, args);
  if (as_dict(subject)) return dict_method(interpreter, subject, name, args);
  return sequence_method(interpreter, subject, name, args);
}

}  // namespace penstock::jinja
