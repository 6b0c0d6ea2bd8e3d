// The values of a chat template, with Python's meaning of truth, equality, order, str and repr.
#pragma once
#include <string>
#include <unordered_map>
#include <utility>
#include <variant>

#include "engine/text/template_text.h"

namespace penstock::jinja {

// A construct outside of the subset: its message shows the template's line.
struct Unsupported : TemplateError {
  using TemplateError::TemplateError;
};

struct None {};

// jinja2's default Undefined: prints as nothing, iterates as nothing, and fails with `why` when anything else is done.
struct Undefined {
  std::shared_ptr<const std::string> why;
};

struct Sequence;
struct Dict;
struct Object;
using SequencePtr = std::shared_ptr<const Sequence>;
using DictPtr = std::shared_ptr<const Dict>;

// An Object is owned by the Interpreter and lives as long as it; everything else is shared and immutable.
using Value = std::variant<Undefined, None, bool, int64_t, double, TextPtr, SequencePtr, DictPtr, Object*>;

struct Sequence {
  // `iterator` stands for Python's generators and iterators: it can be read once, and has neither length nor index.
  enum class Kind { list, tuple, range, keys, values, items, iterator };
  Kind kind = Kind::list;
  std::vector<Value> elements;
  int depth = 1;
  int64_t start = 0, stop = 0, step = 1;  // range
  mutable size_t position = 0;            // iterator: the elements before it have been read
  bool group = false;                     // groupby's pair: its elements are also .grouper and .list
};

struct Dict {
  std::vector<std::pair<Value, Value>> entries;  // in order of insertion
  int depth = 1;
  // Entries with a string key and with a whole number as key; filled for large dicts only.
  std::unordered_map<std::string_view, size_t> by_text;
  std::unordered_map<int64_t, size_t> by_integer;

  const Value* find(const Value& key) const;
  const Value* find(std::string_view key) const;
};

struct Args {
  std::vector<Value> positional;
  std::vector<std::pair<std::string, Value>> named;

  // The arguments in the order of `names`, null where not given. Errors: too many, unknown, given twice, or fewer
  // than `required`.
  std::vector<const Value*> bind(std::string_view callee, std::initializer_list<std::string_view> names,
                                 size_t required = 0) const;
};

class Interpreter;

// What has identity: namespaces, macros, loops, functions, bound methods.
struct Object {
  virtual ~Object() = default;
  virtual std::string_view type_name() const = 0;
  virtual void append_repr(TextBuilder& out, int depth) const;
  virtual bool attribute(Interpreter&, std::string_view, Value&) { return false; }
  virtual bool callable() const { return false; }
  virtual Value call(Interpreter&, Args&);
};

// Containers may not nest deeper than this, so that destroying or printing one cannot exhaust the stack.
constexpr int max_value_depth = 200;

Value make_sequence(Sequence::Kind kind, std::vector<Value> elements);
inline Value make_list(std::vector<Value> elements) { return make_sequence(Sequence::Kind::list, std::move(elements)); }
Value make_range(Budget& budget, int64_t start, int64_t stop, int64_t step);  // at most 100,000 elements
Value make_dict(std::vector<std::pair<Value, Value>> entries);                // the last of equal keys counts
Value make_undefined(std::string why);
inline Value text_value(std::string_view bytes) { return make_text(bytes); }

template <typename T>
const T* as(const Value& value) {
  return std::get_if<T>(&value);
}
inline const Text* as_text(const Value& value) {
  auto* text = as<TextPtr>(value);
  return text ? text->get() : nullptr;
}
inline const Sequence* as_sequence(const Value& value) {
  auto* sequence = as<SequencePtr>(value);
  return sequence ? sequence->get() : nullptr;
}
inline const Dict* as_dict(const Value& value) {
  auto* dict = as<DictPtr>(value);
  return dict ? dict->get() : nullptr;
}
inline bool is_undefined(const Value& value) { return as<Undefined>(value) != nullptr; }
inline bool is_none(const Value& value) { return as<None>(value) != nullptr; }
bool as_int(const Value& value, int64_t& out);  // int or bool
bool as_number(const Value& value, double& out);

std::string_view type_name(const Value& value);  // Python's
bool truthy(const Value& value);
bool equal(Budget& budget, const Value& a, const Value& b);
int compare(Budget& budget, const Value& a, const Value& b);  // <0, 0, >0; 2: unordered (NaN)
constexpr int unordered = 2;
void require_hashable(const Value& value);
[[noreturn]] void fail_undefined(const Value& value);
[[noreturn]] void fail(const std::string& message);
[[noreturn]] void fail_unsupported(const std::string& what);  // jinja2 has it, this interpreter does not

TextPtr to_text(Budget& budget, const Value& value);                    // str(value)
void append_repr(TextBuilder& out, const Value& value, int depth = 0);  // repr(value)
std::string float_repr(double value);

}  // namespace penstock::jinja
