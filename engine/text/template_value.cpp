#include "engine/text/template_value.h"

#include <algorithm>
#include <cmath>

namespace penstock::jinja {
namespace {

constexpr size_t indexed_from = 8;  // dicts of so many entries find strings and integers by hash
constexpr int max_other_keys = 1000;

int value_depth(const Value& value) {
  if (auto* sequence = as_sequence(value)) return sequence->depth;
  if (auto* dict = as_dict(value)) return dict->depth;
  return 0;
}

int depth_above(int inner) {
  if (inner >= max_value_depth) fail("a value is nested deeper than " + std::to_string(max_value_depth) + " levels");
  return inner + 1;
}

bool equal_elements(Budget& budget, const std::vector<Value>& a, const std::vector<Value>& b) {
  return a.size() == b.size() &&
         std::equal(a.begin(), a.end(), b.begin(), [&](const Value& x, const Value& y) { return equal(budget, x, y); });
}

bool equal_sequences(Budget& budget, const Sequence& a, const Sequence& b) {
  using Kind = Sequence::Kind;
  if (&a == &b) return true;
  if (a.kind != b.kind || a.kind == Kind::iterator || a.kind == Kind::values) return false;
  return equal_elements(budget, a.elements, b.elements);
}

bool equal_dicts(Budget& budget, const Dict& a, const Dict& b) {
  if (a.entries.size() != b.entries.size()) return false;
  return std::all_of(a.entries.begin(), a.entries.end(), [&](const auto& entry) {
    auto* other = b.find(entry.first);
    return other && equal(budget, entry.second, *other);
  });
}

// Of a key: 1, true and 1.0 are the same.
bool whole_number(const Value& key, int64_t& out) {
  if (as_int(key, out)) return true;
  auto* real = as<double>(key);
  if (!real || std::floor(*real) != *real || std::fabs(*real) >= 9.2e18) return false;
  out = static_cast<int64_t>(*real);
  return true;
}

// Scalars are the only keys that dicts meet in practice; tuples compare by their elements.
bool equal_keys(const Value& a, const Value& b) {
  Budget unlimited({.max_steps = INT64_MAX, .max_output_bytes = INT64_MAX});
  return equal(unlimited, a, b);
}

}  // namespace

void fail(const std::string& message) { throw TemplateError(message); }
void fail_unsupported(const std::string& what) { throw Unsupported(what + " is not supported"); }

void fail_undefined(const Value& value) {
  auto* undefined = as<Undefined>(value);
  fail(undefined && undefined->why ? *undefined->why : "the value is undefined");
}

void Object::append_repr(TextBuilder&, int) const { fail_unsupported("the text of a " + std::string(type_name())); }
Value Object::call(Interpreter&, Args&) { fail("a " + std::string(type_name()) + " is not callable"); }

Value make_sequence(Sequence::Kind kind, std::vector<Value> elements) {
  auto sequence = std::make_shared<Sequence>();
  int inner = 0;
  for (auto& element : elements) inner = std::max(inner, value_depth(element));
  sequence->kind = kind;
  sequence->depth = depth_above(inner);
  sequence->elements = std::move(elements);
  return SequencePtr(std::move(sequence));
}

Value make_range(Budget& budget, int64_t start, int64_t stop, int64_t step) {
  constexpr int64_t max_range = 100000;  // as jinja2's sandbox bounds it
  auto span = static_cast<__int128>(stop) - start;
  auto count = step > 0 ? (span + step - 1) / step : (-span - step - 1) / -static_cast<__int128>(step);
  if (count > max_range) fail("range too big; the sandbox blocks ranges larger than 100000");
  auto range = std::make_shared<Sequence>();
  range->kind = Sequence::Kind::range;
  range->start = start;
  range->stop = stop;
  range->step = step;
  if (count > 0) budget.charge(static_cast<int64_t>(count));
  for (int64_t i = 0; i < count; i++) range->elements.push_back(start + i * step);
  return SequencePtr(std::move(range));
}

Value make_dict(std::vector<std::pair<Value, Value>> entries) {
  auto dict = std::make_shared<Dict>();
  int inner = 0, other_keys = 0;
  dict->entries.reserve(entries.size());
  for (auto& [key, value] : entries) {
    require_hashable(key);
    inner = std::max({inner, value_depth(key), value_depth(value)});
    if (auto* old = dict->find(key)) {
      const_cast<Value&>(*old) = std::move(value);
      continue;
    }
    int64_t integer;
    if (!as_text(key) && !whole_number(key, integer) && ++other_keys > max_other_keys)
      fail_unsupported("a mapping with this many keys that are neither strings nor integers");
    dict->entries.emplace_back(std::move(key), std::move(value));
    if (dict->entries.size() < indexed_from) continue;
    size_t first = dict->entries.size() == indexed_from ? 0 : dict->entries.size() - 1;
    for (size_t i = first; i < dict->entries.size(); i++) {
      if (auto* text = as_text(dict->entries[i].first)) dict->by_text.emplace(text->bytes, i);
      if (whole_number(dict->entries[i].first, integer)) dict->by_integer.emplace(integer, i);
    }
  }
  dict->depth = depth_above(inner);
  return DictPtr(std::move(dict));
}

Value make_undefined(std::string why) { return Undefined{std::make_shared<const std::string>(std::move(why))}; }

const Value* Dict::find(std::string_view key) const {
  if (entries.size() >= indexed_from) {
    auto found = by_text.find(key);
    return found == by_text.end() ? nullptr : &entries[found->second].second;
  }
  for (auto& [name, value] : entries)
    if (auto* text = as_text(name); text && text->bytes == key) return &value;
  return nullptr;
}

const Value* Dict::find(const Value& key) const {
  if (auto* text = as_text(key)) return find(std::string_view(text->bytes));
  if (int64_t integer; entries.size() >= indexed_from && whole_number(key, integer)) {
    auto found = by_integer.find(integer);
    return found == by_integer.end() ? nullptr : &entries[found->second].second;
  }
  for (auto& [name, value] : entries)
    if (!as_text(name) && equal_keys(name, key)) return &value;
  return nullptr;
}

std::vector<const Value*> Args::bind(std::string_view callee, std::initializer_list<std::string_view> names,
                                     size_t required) const {
  auto where = std::string(callee) + "(): ";
  if (positional.size() > names.size()) fail(where + "takes at most " + std::to_string(names.size()) + " arguments");
  std::vector<const Value*> bound(names.size());
  for (size_t i = 0; i < positional.size(); i++) bound[i] = &positional[i];
  for (auto& [name, value] : named) {
    auto found = std::find(names.begin(), names.end(), name);
    if (found == names.end()) fail(where + "unexpected keyword argument '" + name + "'");
    auto& slot = bound[static_cast<size_t>(found - names.begin())];
    if (slot) fail(where + "argument '" + name + "' given twice");
    slot = &value;
  }
  for (size_t i = 0; i < required; i++)
    if (!bound[i]) fail(where + "missing argument '" + std::string(names.begin()[i]) + "'");
  return bound;
}

bool as_int(const Value& value, int64_t& out) {
  if (auto* integer = as<int64_t>(value)) return out = *integer, true;
  if (auto* boolean = as<bool>(value)) return out = *boolean, true;
  return false;
}

bool as_number(const Value& value, double& out) {
  if (auto* real = as<double>(value)) return out = *real, true;
  int64_t integer;
  if (!as_int(value, integer)) return false;
  out = static_cast<double>(integer);
  return true;
}

std::string_view type_name(const Value& value) {
  static constexpr std::string_view scalars[] = {"Undefined", "NoneType", "bool", "int", "float", "str"};
  static constexpr std::string_view sequences[] = {"list",        "tuple",      "range",    "dict_keys",
                                                   "dict_values", "dict_items", "generator"};
  if (value.index() < std::size(scalars)) return scalars[value.index()];
  if (auto* sequence = as_sequence(value)) return sequences[static_cast<size_t>(sequence->kind)];
  if (as_dict(value)) return "dict";
  return (*as<Object*>(value))->type_name();
}

bool truthy(const Value& value) {
  if (auto* text = as_text(value)) return !text->bytes.empty();
  if (auto* boolean = as<bool>(value)) return *boolean;
  if (auto* integer = as<int64_t>(value)) return *integer != 0;
  if (auto* real = as<double>(value)) return *real != 0;
  if (auto* sequence = as_sequence(value))
    return sequence->kind == Sequence::Kind::iterator || !sequence->elements.empty();
  if (auto* dict = as_dict(value)) return !dict->entries.empty();
  return !is_undefined(value) && !is_none(value);
}

bool equal(Budget& budget, const Value& a, const Value& b) {
  budget.charge(1);
  int64_t i, j;
  if (as_int(a, i) && as_int(b, j)) return i == j;
  double x, y;
  if (as_number(a, x) && as_number(b, y)) return compare(budget, a, b) == 0;
  if (a.index() != b.index()) return false;
  if (auto* text = as_text(a)) return text->bytes == as_text(b)->bytes;
  if (auto* sequence = as_sequence(a)) return equal_sequences(budget, *sequence, *as_sequence(b));
  if (auto* dict = as_dict(a)) return equal_dicts(budget, *dict, *as_dict(b));
  if (auto* object = as<Object*>(a)) return *object == *as<Object*>(b);
  return true;  // None and None, Undefined and Undefined
}

int compare(Budget& budget, const Value& a, const Value& b) {
  budget.charge(1);
  auto sign = [](auto x, auto y) { return x < y ? -1 : x > y ? 1 : x == y ? 0 : unordered; };
  int64_t i, j;
  if (as_int(a, i) && as_int(b, j)) return sign(i, j);
  double x, y;
  // long double holds every int64 exactly, as Python compares them
  if (as_number(a, x) && as_number(b, y))
    return sign(as_int(a, i) ? static_cast<long double>(i) : x, as_int(b, j) ? static_cast<long double>(j) : y);
  if (is_undefined(a)) fail_undefined(a);
  if (is_undefined(b)) fail_undefined(b);
  auto *s = as_text(a), *t = as_text(b);
  if (s && t) return sign(s->bytes.compare(t->bytes), 0);
  auto *p = as_sequence(a), *q = as_sequence(b);
  if (p && q && p->kind == q->kind && (p->kind == Sequence::Kind::list || p->kind == Sequence::Kind::tuple)) {
    for (size_t k = 0; k < std::min(p->elements.size(), q->elements.size()); k++)
      if (!equal(budget, p->elements[k], q->elements[k])) return compare(budget, p->elements[k], q->elements[k]);
    return sign(p->elements.size(), q->elements.size());
  }
  fail("'" + std::string(type_name(a)) + "' and '" + std::string(type_name(b)) + "' have no order");
}

void require_hashable(const Value& value) {
  auto* sequence = as_sequence(value);
  using Kind = Sequence::Kind;
  bool mutable_kind =
      sequence && (sequence->kind == Kind::list || sequence->kind == Kind::keys || sequence->kind == Kind::items);
  if (as_dict(value) || mutable_kind) fail("unhashable type: '" + std::string(type_name(value)) + "'");
  if (sequence && sequence->kind == Kind::tuple)
    for (auto& element : sequence->elements) require_hashable(element);
}

}  // namespace penstock::jinja
