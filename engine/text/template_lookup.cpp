// The interpreter's part for what is inside a value: attributes, items, slices and elements.
#include <algorithm>

#include "engine/text/template_eval.h"
#include "engine/text/template_filters.h"
#include "engine/text/template_objects.h"

namespace penstock::jinja {
namespace {

int64_t sequence_index(int64_t index, int64_t size) { return index < 0 ? index + size : index; }

Value missing(const Value& subject, std::string_view name) {
  return make_undefined("'" + std::string(type_name(subject)) + "' has no attribute '" + std::string(name) + "'");
}

// Python's slice.indices, of a sequence of `size` elements.
struct Slice {
  Slice(int64_t size, const Value (&bounds)[3]) {
    step = bound(bounds[2], 1);
    if (step == 0) fail("a slice's step cannot be zero");
    as_written = step;
    step = std::clamp(step, -size - 1, size + 1);  // a longer one takes the same single element
    int64_t lowest = step > 0 ? 0 : -1, highest = step > 0 ? size : size - 1;
    auto clamp = [&](int64_t index) { return std::clamp(index < 0 ? index + size : index, lowest, highest); };
    begin = is_none(bounds[0]) ? (step > 0 ? lowest : highest) : clamp(bound(bounds[0], 0));
    end = is_none(bounds[1]) ? (step > 0 ? highest : lowest) : clamp(bound(bounds[1], 0));
  }

  static int64_t bound(const Value& value, int64_t fallback) {
    int64_t out;
    if (is_none(value)) return fallback;
    if (is_undefined(value)) fail_undefined(value);
    if (!as_int(value, out)) fail("a slice's bounds must be integers");
    return out;
  }

  std::vector<int64_t> indices(Budget& budget) const {
    std::vector<int64_t> out;
    for (int64_t i = begin; step > 0 ? i < end : i > end; i += step) out.push_back(i);
    budget.charge(static_cast<int64_t>(out.size()) / 64);
    return out;
  }

  int64_t begin, end, step, as_written;
};

Value slice_text(Budget& budget, const Text& text, const Value (&bounds)[3]) {
  budget.charge_bytes(text.bytes.size());
  if (is_none(bounds[2])) {
    Slice slice(count_code_points(text.bytes), bounds);
    return slice_bytes(budget, text, byte_of_code_point(text.bytes, slice.begin),
                       byte_of_code_point(text.bytes, slice.end));
  }
  budget.charge_elements(text.bytes.size());
  std::vector<size_t> starts;  // byte offset of each character, and the end
  for (size_t at = 0; at < text.bytes.size(); at += char_bytes(static_cast<unsigned char>(text.bytes[at])))
    starts.push_back(at);
  starts.push_back(text.bytes.size());
  auto indices = Slice(static_cast<int64_t>(starts.size()) - 1, bounds).indices(budget);
  TextBuilder out(budget);
  for (size_t i = 0, run; i < indices.size(); i += run) {  // neighbours are copied together
    for (run = 1; i + run < indices.size() && indices[i + run] == indices[i] + static_cast<int64_t>(run);) run++;
    out.append(text, starts[static_cast<size_t>(indices[i])], starts[static_cast<size_t>(indices[i]) + run]);
  }
  return out.finish(text.markup);
}

}  // namespace

Value Interpreter::eval_slice(const Expr& expr) {
  Value subject = eval(*expr.parts[0]);
  Value bounds[3] = {None{}, None{}, None{}};
  for (size_t i = 0; i < 3; i++)
    if (expr.parts[i + 1]) bounds[i] = eval(*expr.parts[i + 1]);
  line_ = expr.line;
  if (is_undefined(subject)) fail_undefined(subject);
  if (auto* text = as_text(subject)) return slice_text(budget_, *text, bounds);
  auto* sequence = as_sequence(subject);
  using Kind = Sequence::Kind;
  if (!sequence || sequence->kind > Kind::range) fail("'" + std::string(type_name(subject)) + "' cannot be sliced");
  Slice slice(static_cast<int64_t>(sequence->elements.size()), bounds);
  if (sequence->kind == Kind::range) {
    auto at = [&](int64_t index) { return sequence->start + index * sequence->step; };
    int64_t step;
    if (__builtin_mul_overflow(sequence->step, slice.as_written, &step)) fail("an integer does not fit into 64 bits");
    return make_range(budget_, at(slice.begin), at(slice.end), step);
  }
  std::vector<Value> taken;
  for (int64_t i : slice.indices(budget_)) taken.push_back(sequence->elements[static_cast<size_t>(i)]);
  budget_.charge_elements(taken.size());
  return make_sequence(sequence->kind == Kind::tuple ? Kind::tuple : Kind::list, std::move(taken));
}

// jinja2 looks for Python's attribute first and then for the item; `[]` does it the other way round.
Value Interpreter::attribute(const Value& subject, std::string_view name) {
  if (is_undefined(subject)) fail_undefined(subject);
  Value out;
  if (auto* object = as<Object*>(subject)) return (*object)->attribute(*this, name, out) ? out : missing(subject, name);
  switch (find_method(subject, name)) {
    case Attribute::method:
      return own(std::make_unique<BoundMethod>(subject, name));
    case Attribute::unsafe:
      return make_undefined("access to attribute '" + std::string(name) + "' of '" + std::string(type_name(subject)) +
                            "' object is unsafe");
    case Attribute::missing:
      break;
  }
  if (auto* pair = as_sequence(subject); pair && pair->group && (name == "grouper" || name == "list"))
    return pair->elements[name == "list"];
  auto* dict = as_dict(subject);
  auto* value = dict ? dict->find(name) : nullptr;
  return value ? *value : missing(subject, name);
}

Value Interpreter::item(const Value& subject, const Value& key) {
  if (is_undefined(subject)) fail_undefined(subject);
  int64_t index;
  if (auto* dict = as_dict(subject)) {
    if (auto* value = dict->find(key)) return *value;
  } else if (auto* text = as_text(subject); text && as_int(key, index)) {
    budget_.charge(static_cast<int64_t>(text->bytes.size() / 1024));
    index = sequence_index(index, index < 0 ? count_code_points(text->bytes) : 0);
    size_t begin = index < 0 ? text->bytes.size() : byte_of_code_point(text->bytes, index);
    if (begin < text->bytes.size())
      return slice_bytes(budget_, *text, begin, begin + char_bytes(static_cast<unsigned char>(text->bytes[begin])));
  } else if (auto* sequence = as_sequence(subject);
             sequence && sequence->kind <= Sequence::Kind::range && as_int(key, index)) {
    auto size = static_cast<int64_t>(sequence->elements.size());
    index = sequence_index(index, size);
    if (index >= 0 && index < size) return sequence->elements[static_cast<size_t>(index)];
  }
  if (auto* name = as_text(key)) {
    Value out;
    if (auto* object = as<Object*>(subject))
      return (*object)->attribute(*this, name->bytes, out) ? out : missing(subject, name->bytes);
    auto* sequence = as_sequence(subject);
    if (find_method(subject, name->bytes) != Attribute::missing || (sequence && sequence->group))
      return attribute(subject, name->bytes);
    return missing(subject, name->bytes);
  }
  return missing(subject, is_undefined(key) ? "undefined" : to_text(budget_, key)->bytes);
}

std::vector<Value> Interpreter::elements(const Value& value) {
  std::vector<Value> out;
  if (auto* sequence = as_sequence(value)) {
    auto from = sequence->elements.begin();
    if (sequence->kind == Sequence::Kind::iterator)
      from += static_cast<std::ptrdiff_t>(std::exchange(sequence->position, sequence->elements.size()));
    out.assign(from, sequence->elements.end());
  } else if (auto* dict = as_dict(value)) {
    for (auto& entry : dict->entries) out.push_back(entry.first);
  } else if (auto* text = as_text(value)) {
    budget_.charge_elements(text->bytes.size());
    for (size_t at = 0, next; at < text->bytes.size(); at = next) {
      next = at + char_bytes(static_cast<unsigned char>(text->bytes[at]));
      out.push_back(slice_bytes(budget_, *text, at, next));
    }
  } else if (!is_undefined(value)) {
    fail("'" + std::string(type_name(value)) + "' object is not iterable");
  }
  budget_.charge(static_cast<int64_t>(out.size()));
  return out;
}

}  // namespace penstock::jinja
