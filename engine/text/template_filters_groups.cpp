// The filters that part a sequence, and what sorting and grouping share.
#include <algorithm>

#include "engine/text/template_eval.h"
#include "engine/text/template_filters.h"
#include "engine/text/template_paths.h"

namespace penstock::jinja {

Value ignore_case(Interpreter& interpreter, const Value& value) {
  auto* text = as_text(value);
  return text ? Value(change_case(interpreter.budget(), *text, Case::lower)) : value;
}

std::vector<Value> sorted(Interpreter& interpreter, std::vector<Keyed> keyed, bool reverse) {
  Budget& budget = interpreter.budget();
  if (keyed.size() > 1)  // one comparison each, so that what has no order fails even where sorting needs none
    for (size_t i = 1; i < keyed.size(); i++) compare(budget, keyed[i - 1].key, keyed[i].key);
  std::stable_sort(keyed.begin(), keyed.end(), [&](const Keyed& a, const Keyed& b) {
    return reverse ? compare(budget, b.key, a.key) < 0 : compare(budget, a.key, b.key) < 0;
  });
  std::vector<Value> out;
  for (auto& one : keyed) out.push_back(std::move(one.element));
  return out;
}

namespace {

Value do_batch(Interpreter& interpreter, const Value& subject, const Args& args) {
  auto bound = args.bind("batch", {"linecount", "fill_with"}, 1);
  int64_t count;
  if (!as_int(*bound[0], count)) fail("batch: the count must be an integer");
  std::vector<Value> batches, row;
  for (auto& element : interpreter.elements(subject)) {
    if (static_cast<int64_t>(row.size()) == count) batches.push_back(make_list(std::exchange(row, {})));
    row.push_back(element);
  }
  while (!row.empty() && bound[1] && !is_none(*bound[1]) && static_cast<int64_t>(row.size()) < count) {
    interpreter.budget().charge(1);
    row.push_back(*bound[1]);
  }
  if (!row.empty()) batches.push_back(make_list(std::move(row)));
  return make_sequence(Sequence::Kind::iterator, std::move(batches));
}

// As many lists as asked for, the first ones longer by one where the elements do not part evenly.
Value do_slice(Interpreter& interpreter, const Value& subject, const Args& args) {
  auto bound = args.bind("slice", {"slices", "fill_with"}, 1);
  int64_t slices;
  if (!as_int(*bound[0], slices)) fail("slice: the count must be an integer");
  auto elements = interpreter.elements(subject);
  if (slices == 0) fail("integer division or modulo by zero");
  std::vector<Value> out;
  auto length = static_cast<int64_t>(elements.size());
  for (int64_t i = 0, begin = 0; i < slices; i++) {
    interpreter.budget().charge_elements(4);
    int64_t end = begin + length / slices + (i < length % slices);
    std::vector<Value> part(elements.begin() + begin, elements.begin() + end);
    if (bound[1] && !is_none(*bound[1]) && i >= length % slices) part.push_back(*bound[1]);
    out.push_back(make_list(std::move(part)));
    begin = end;
  }
  return make_sequence(Sequence::Kind::iterator, std::move(out));
}

Value make_group(const Value& grouper, std::vector<Value> elements) {
  Value pair = make_sequence(Sequence::Kind::tuple, {grouper, make_list(std::move(elements))});
  auto group = std::make_shared<Sequence>(*as_sequence(pair));
  group->group = true;
  return SequencePtr(std::move(group));
}

Value do_groupby(Interpreter& interpreter, const Value& subject, const Args& args) {
  auto bound = args.bind("groupby", {"attribute", "default", "case_sensitive"}, 1);
  Budget& budget = interpreter.budget();
  Path path(*bound[0]);
  const Value* fallback = bound[1] && !is_none(*bound[1]) ? bound[1] : nullptr;
  bool exact = bound[2] && truthy(*bound[2]);
  auto key_of = [&](const Value& element) {
    Value key = path.of(interpreter, element, fallback);
    return exact ? key : ignore_case(interpreter, key);
  };
  std::vector<Keyed> keyed;
  for (auto& element : interpreter.elements(subject)) keyed.push_back({key_of(element), element});
  auto elements = sorted(interpreter, std::move(keyed), false);
  std::vector<Value> groups;
  for (size_t begin = 0, end; begin < elements.size(); begin = end) {
    Value key = key_of(elements[begin]);
    for (end = begin + 1; end < elements.size() && equal(budget, key, key_of(elements[end]));) end++;
    auto first = elements.begin() + static_cast<std::ptrdiff_t>(begin);
    groups.push_back(make_group(path.of(interpreter, elements[begin], fallback),
                                {first, elements.begin() + static_cast<std::ptrdiff_t>(end)}));
  }
  return make_list(std::move(groups));
}

}  // namespace

const std::vector<NamedFilter> grouping_filters = {{"batch", do_batch}, {"groupby", do_groupby}, {"slice", do_slice}};

}  // namespace penstock::jinja
