// The filters of sequences and mappings.
#include <algorithm>
#include <unordered_set>

#include "engine/text/template_eval.h"
#include "engine/text/template_filters.h"
#include "engine/text/template_paths.h"

namespace penstock::jinja {
namespace {

using Kind = Sequence::Kind;

bool given(const Value* argument) { return argument && truthy(*argument); }

Value do_length(Interpreter&, const Value& subject, const Args& args) {
  args.bind("length", {});
  if (is_undefined(subject)) return int64_t{0};
  if (auto* text = as_text(subject)) return count_code_points(text->bytes);
  if (auto* dict = as_dict(subject)) return static_cast<int64_t>(dict->entries.size());
  auto* sequence = as_sequence(subject);
  if (!sequence || sequence->kind == Kind::iterator)
    fail("object of type '" + std::string(type_name(subject)) + "' has no len()");
  return static_cast<int64_t>(sequence->elements.size());
}

Value do_first(Interpreter& interpreter, const Value& subject, const Args& args) {
  args.bind("first", {});
  Value nothing = make_undefined("no first item, sequence was empty");
  if (auto* sequence = as_sequence(subject)) {
    size_t at = 0;
    if (sequence->kind == Kind::iterator && sequence->position < sequence->elements.size())
      at = sequence->position++;
    else if (sequence->kind == Kind::iterator)
      return nothing;
    return at < sequence->elements.size() ? sequence->elements[at] : nothing;
  }
  auto elements = interpreter.elements(subject);
  return elements.empty() ? nothing : elements.front();
}

Value do_last(Interpreter& interpreter, const Value& subject, const Args& args) {
  args.bind("last", {});
  auto* sequence = as_sequence(subject);
  if (sequence && sequence->kind == Kind::iterator) fail("'generator' object is not reversible");
  auto elements = interpreter.elements(subject);
  return elements.empty() ? make_undefined("no last item, sequence was empty") : elements.back();
}

Value do_list(Interpreter& interpreter, const Value& subject, const Args& args) {
  args.bind("list", {});
  return make_list(interpreter.elements(subject));
}

Value do_join(Interpreter& interpreter, const Value& subject, const Args& args) {
  auto bound = args.bind("join", {"d", "attribute"});
  Budget& budget = interpreter.budget();
  TextPtr separator = bound[0] ? to_text(budget, *bound[0]) : make_text("");
  std::optional<Path> path;
  if (bound[1] && !is_none(*bound[1])) path.emplace(*bound[1]);
  TextBuilder out(budget);
  bool first = true;
  for (auto& element : interpreter.elements(subject)) {
    if (!std::exchange(first, false)) out.append(*separator);
    out.append(*to_text(budget, path ? path->of(interpreter, element) : element));
  }
  return out.finish();
}

Value do_items(Interpreter&, const Value& subject, const Args& args) {
  args.bind("items", {});
  std::vector<Value> pairs;
  if (!is_undefined(subject) && !as_dict(subject)) fail("items: can only get item pairs from a mapping");
  if (auto* dict = as_dict(subject))
    for (auto& [key, value] : dict->entries) pairs.push_back(make_sequence(Kind::tuple, {key, value}));
  return make_sequence(Kind::iterator, std::move(pairs));
}

Value do_reverse(Interpreter& interpreter, const Value& subject, const Args& args) {
  args.bind("reverse", {});
  auto* sequence = as_sequence(subject);
  auto elements = interpreter.elements(subject);
  std::reverse(elements.begin(), elements.end());
  if (as_text(subject)) {
    TextBuilder out(interpreter.budget());
    for (auto& element : elements) out.append(*as_text(element));
    return out.finish();
  }
  return make_sequence(sequence && sequence->kind == Kind::iterator ? Kind::list : Kind::iterator, std::move(elements));
}

Value do_sort(Interpreter& interpreter, const Value& subject, const Args& args) {
  auto bound = args.bind("sort", {"reverse", "case_sensitive", "attribute"});
  std::vector<Path> paths;
  if (bound[2] && as_text(*bound[2])) {
    Args comma{{text_value(",")}, {}};
    for (auto& part : interpreter.elements(call_text_method(interpreter, *as<TextPtr>(*bound[2]), "split", comma)))
      paths.emplace_back(part);
  } else {
    paths.emplace_back(bound[2] ? *bound[2] : Value(None{}));
  }
  std::vector<Keyed> keyed;
  for (auto& element : interpreter.elements(subject)) {
    std::vector<Value> keys;
    for (auto& path : paths) {
      Value key = path.of(interpreter, element);
      keys.push_back(given(bound[1]) ? key : ignore_case(interpreter, key));
    }
    keyed.push_back({make_list(std::move(keys)), element});
  }
  return make_list(sorted(interpreter, std::move(keyed), given(bound[0])));
}

Value do_dictsort(Interpreter& interpreter, const Value& subject, const Args& args) {
  auto bound = args.bind("dictsort", {"case_sensitive", "by", "reverse"});
  auto* by = bound[1] ? as_text(*bound[1]) : nullptr;
  bool by_value = by && by->bytes == "value";
  if (bound[1] && !by_value && !(by && by->bytes == "key"))
    fail("dictsort: you can only sort by either \"key\" or \"value\"");
  if (is_undefined(subject)) fail_undefined(subject);
  if (!as_dict(subject)) fail("dictsort: a mapping is required");
  std::vector<Keyed> keyed;
  for (auto& [key, value] : as_dict(subject)->entries) {
    auto& sorted_by = by_value ? value : key;
    keyed.push_back(
        {given(bound[0]) ? sorted_by : ignore_case(interpreter, sorted_by), make_sequence(Kind::tuple, {key, value})});
  }
  return make_list(sorted(interpreter, std::move(keyed), given(bound[2])));
}

Value do_unique(Interpreter& interpreter, const Value& subject, const Args& args) {
  auto bound = args.bind("unique", {"case_sensitive", "attribute"});
  Path path(bound[1] ? *bound[1] : Value(None{}));
  std::unordered_set<std::string> texts;
  std::vector<Value> others, out;
  for (auto& element : interpreter.elements(subject)) {
    Value key = path.of(interpreter, element);
    if (!given(bound[0])) key = ignore_case(interpreter, key);
    require_hashable(key);
    auto same = [&](const Value& other) { return equal(interpreter.budget(), other, key); };
    if (auto* text = as_text(key)) {
      if (!texts.insert(text->bytes).second) continue;
    } else if (std::any_of(others.begin(), others.end(), same)) {
      continue;
    } else {
      others.push_back(key);
    }
    out.push_back(element);
  }
  return make_sequence(Kind::iterator, std::move(out));
}

template <bool smallest>
Value do_extreme(Interpreter& interpreter, const Value& subject, const Args& args) {
  auto bound = args.bind("min", {"case_sensitive", "attribute"});
  Path path(bound[1] ? *bound[1] : Value(None{}));
  auto elements = interpreter.elements(subject);
  if (elements.empty()) return make_undefined("no aggregated item, sequence was empty");
  auto key_of = [&](const Value& element) {
    Value key = path.of(interpreter, element);
    return given(bound[0]) ? key : ignore_case(interpreter, key);
  };
  size_t best = 0;
  Value best_key = key_of(elements[0]);
  for (size_t i = 1; i < elements.size(); i++) {
    Value key = key_of(elements[i]);
    int order = smallest ? compare(interpreter.budget(), key, best_key) : compare(interpreter.budget(), best_key, key);
    if (order < 0) best = i, best_key = std::move(key);
  }
  return elements[best];
}

Value do_sum(Interpreter& interpreter, const Value& subject, const Args& args) {
  auto bound = args.bind("sum", {"attribute", "start"});
  Path path(bound[0] ? *bound[0] : Value(None{}));
  Value total = bound[1] ? *bound[1] : Value(int64_t{0});
  if (as_text(total)) fail("sum() can't sum strings");
  for (auto& element : interpreter.elements(subject))
    total = arithmetic(interpreter, "+", total, path.of(interpreter, element));
  return total;
}

}  // namespace

const std::vector<NamedFilter> sequence_filters = {
    {"count", do_length},      {"dictsort", do_dictsort}, {"first", do_first},
    {"items", do_items},       {"join", do_join},         {"last", do_last},
    {"length", do_length},     {"list", do_list},         {"max", do_extreme<false>},
    {"min", do_extreme<true>}, {"reverse", do_reverse},   {"sort", do_sort},
    {"sum", do_sum},           {"unique", do_unique}};

}  // namespace penstock::jinja
