#include "engine/text/template_eval.h"

#include <algorithm>

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
  std::vector<size_t> starts;  // byte offset of each character, and the end
  for (size_t at = 0; at < text.bytes.size(); at += char_bytes(static_cast<unsigned char>(text.bytes[at])))
    starts.push_back(at);
  starts.push_back(text.bytes.size());
  budget.charge_bytes(text.bytes.size());
  auto indices = Slice(static_cast<int64_t>(starts.size()) - 1, bounds).indices(budget);
  TextBuilder out(budget);
  for (size_t i = 0, run; i < indices.size(); i += run) {  // neighbours are copied together
    for (run = 1; i + run < indices.size() && indices[i + run] == indices[i] + static_cast<int64_t>(run);) run++;
    out.append(text, starts[static_cast<size_t>(indices[i])], starts[static_cast<size_t>(indices[i]) + run]);
  }
  return out.finish(text.markup);
}

}  // namespace

Value Interpreter::eval(const Expr& expr) {
  using Kind = Expr::Kind;
  Deeper deeper(*this);
  budget_.charge(1);
  line_ = expr.line;
  auto part = [&](size_t i) { return eval(*expr.parts[i]); };
  switch (expr.kind) {
    case Kind::constant:
      return expr.constant;
    case Kind::name:
      return eval_name(expr);
    case Kind::list:
      return make_list(eval_all(expr.parts));
    case Kind::tuple:
      return make_sequence(Sequence::Kind::tuple, eval_all(expr.parts));
    case Kind::dict:
      return eval_dict(expr);
    case Kind::attribute:
      return attribute(part(0), expr.text);
    case Kind::item: {
      Value subject = part(0);
      return item(subject, part(1));
    }
    case Kind::slice:
      return eval_slice(expr);
    case Kind::call:
      return eval_call(expr);
    case Kind::filter:
      return eval_filter(expr, part(0));
    case Kind::test: {
      Value subject = part(0);
      Args args = eval_arguments(expr.arguments);
      line_ = expr.line;
      if (!expr.test) fail("no test named '" + expr.text + "'");
      return expr.test(*this, subject, args);
    }
    case Kind::logical_not:
      return !is_true(*expr.parts[0]);
    case Kind::negate:
    case Kind::plus:
      return eval_sign(expr);
    case Kind::arithmetic: {
      Value left = part(0), right = part(1);
      line_ = expr.line;
      return arithmetic(*this, expr.text, left, right);
    }
    case Kind::compare:
      return eval_compare(expr);
    case Kind::concat:
      return eval_concat(expr);
    case Kind::logical_and: {
      Value left = part(0);
      return truthy(left) ? part(1) : left;
    }
    case Kind::logical_or: {
      Value left = part(0);
      return truthy(left) ? left : part(1);
    }
    case Kind::conditional:
      if (is_true(*expr.parts[0])) return part(1);
      return expr.parts[2] ? part(2) : make_undefined("the inline if-expression evaluated to false and has no else");
  }
  fail("an expression of unknown kind");
}

Value Interpreter::eval_name(const Expr& expr) {
  for (Scope* scope = scope_; scope; scope = scope->parent)
    if (auto* value = scope->find(expr.text)) return *value;
  if (auto found = variables_.find(expr.text); found != variables_.end()) return found->second;
  if (auto found = globals_.find(expr.text); found != globals_.end()) return found->second;
  Value global;
  if (find_global(*this, expr.text, global)) return globals_[expr.text] = global;
  return make_undefined("'" + expr.text + "' is undefined");
}

std::vector<Value> Interpreter::eval_all(const std::vector<ExprPtr>& parts) {
  std::vector<Value> values;
  values.reserve(parts.size());
  for (auto& part : parts) values.push_back(eval(*part));
  return values;
}

Value Interpreter::eval_dict(const Expr& expr) {
  std::vector<std::pair<Value, Value>> entries;
  for (size_t i = 0; i < expr.parts.size(); i += 2) {
    Value key = eval(*expr.parts[i]);
    entries.emplace_back(std::move(key), eval(*expr.parts[i + 1]));
  }
  return make_dict(std::move(entries));
}

Value Interpreter::eval_sign(const Expr& expr) {
  Value value = eval(*expr.parts[0]);
  int64_t integer;
  if (is_undefined(value)) fail_undefined(value);
  if (auto* real = as<double>(value)) return expr.kind == Expr::Kind::negate ? -*real : *real;
  if (!as_int(value, integer)) fail("bad operand for a sign: '" + std::string(type_name(value)) + "'");
  if (expr.kind == Expr::Kind::plus) return integer;
  return arithmetic(*this, "-", int64_t{0}, integer);
}

Args Interpreter::eval_arguments(const Arguments& arguments) {
  Args args{eval_all(arguments.positional), {}};
  for (auto& [name, expr] : arguments.named) args.named.emplace_back(name, eval(*expr));
  if (arguments.star)
    for (auto& value : elements(eval(*arguments.star))) args.positional.push_back(value);
  if (arguments.star_star) {
    Value more = eval(*arguments.star_star);
    auto* dict = as_dict(more);
    if (!dict) fail("the argument after ** must be a mapping");
    for (auto& [key, value] : dict->entries) {
      if (!as_text(key)) fail("keywords must be strings");
      args.named.emplace_back(as_text(key)->bytes, value);
    }
  }
  return args;
}

// A method that is called at once needs no object of its own.
Value Interpreter::eval_call(const Expr& expr) {
  const Expr& callee = *expr.parts[0];
  if (callee.kind == Expr::Kind::attribute) {
    Value subject = eval(*callee.parts[0]);
    line_ = callee.line;
    if (find_method(subject, callee.text) == Attribute::method) {
      Args args = eval_arguments(expr.arguments);
      line_ = expr.line;
      return call_method(*this, subject, callee.text, args);
    }
    Value function = attribute(subject, callee.text);
    Args args = eval_arguments(expr.arguments);
    line_ = expr.line;
    return call(function, args);
  }
  Value function = eval(callee);
  Args args = eval_arguments(expr.arguments);
  line_ = expr.line;
  return call(function, args);
}

Value Interpreter::call(const Value& callee, Args& args) {
  if (is_undefined(callee)) fail_undefined(callee);
  auto* object = as<Object*>(callee);
  if (!object || !(*object)->callable()) fail("'" + std::string(type_name(callee)) + "' object is not callable");
  return (*object)->call(*this, args);
}

Value Interpreter::eval_filter(const Expr& expr, const Value& subject) {
  Args args = eval_arguments(expr.arguments);
  line_ = expr.line;
  if (!expr.filter) fail("no filter named '" + expr.text + "'");
  return expr.filter(*this, subject, args);
}

Value Interpreter::through_filters(const Expr* chain, Value subject) {
  if (!chain) return subject;
  if (!chain->parts.empty()) subject = through_filters(chain->parts[0].get(), std::move(subject));
  return eval_filter(*chain, subject);
}

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
  budget_.charge(static_cast<int64_t>(taken.size()));
  return make_sequence(sequence->kind == Kind::tuple ? Kind::tuple : Kind::list, std::move(taken));
}

Value Interpreter::eval_concat(const Expr& expr) {
  std::vector<Value> values = eval_all(expr.parts);
  TextBuilder out(budget_);
  for (auto& value : values) out.append(*to_text(budget_, value));
  return out.finish();
}

Value Interpreter::eval_compare(const Expr& expr) {
  Value left = eval(*expr.parts[0]);
  for (size_t i = 0; i < expr.operators.size(); i++) {
    Value right = eval(*expr.parts[i + 1]);
    line_ = expr.line;
    const std::string& op = expr.operators[i];
    bool holds;
    if (op == "==" || op == "!=") {
      holds = equal(budget_, left, right) == (op == "==");
    } else if (op == "in" || op == "not in") {
      holds = contains(*this, right, left) == (op == "in");
    } else {
      int order = compare(budget_, left, right);
      holds = order != unordered && (op == "<"    ? order < 0
                                     : op == "<=" ? order <= 0
                                     : op == ">"  ? order > 0
                                                  : order >= 0);
    }
    if (!holds || i + 1 == expr.operators.size()) return holds;
    left = std::move(right);
  }
  return true;
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
    budget_.charge(static_cast<int64_t>(text->bytes.size()));
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
