// Python's arithmetic and `in`. Integers are 64 bits wide here: what Python would grow beyond that is an error.
#include <cmath>

#include "engine/text/template_eval.h"
#include "engine/text/template_filters.h"

namespace penstock::jinja {
namespace {

[[noreturn]] void fail_operands(std::string_view op, const Value& a, const Value& b) {
  if (is_undefined(a)) fail_undefined(a);
  if (is_undefined(b)) fail_undefined(b);
  fail("unsupported operands for " + std::string(op) + ": '" + std::string(type_name(a)) + "' and '" +
       std::string(type_name(b)) + "'");
}

[[noreturn]] void fail_overflow() { fail("an integer does not fit into 64 bits"); }

int64_t floor_divide(int64_t a, int64_t b) {
  if (b == 0) fail("integer division or modulo by zero");
  if (a == INT64_MIN && b == -1) fail_overflow();
  int64_t quotient = a / b;
  return quotient - (a % b != 0 && (a < 0) != (b < 0));
}

int64_t floor_modulo(int64_t a, int64_t b) {
  if (b == 0) fail("integer division or modulo by zero");
  if (b == -1) return 0;
  int64_t rest = a % b;
  return rest != 0 && (rest < 0) != (b < 0) ? rest + b : rest;
}

double real_modulo(double a, double b) {
  if (b == 0) fail("float modulo by zero");
  double rest = std::fmod(a, b);
  if (rest != 0 && (rest < 0) != (b < 0)) return rest + b;
  return rest == 0 ? std::copysign(0.0, b) : rest;
}

// As float.__floordiv__: from the exact remainder, so that the quotient never rounds up past it.
double real_floor_divide(double a, double b) {
  if (b == 0) fail("float floor division by zero");
  double rest = std::fmod(a, b), quotient = (a - rest) / b;
  if (rest != 0 && (rest < 0) != (b < 0)) quotient -= 1;
  if (quotient == 0) return std::copysign(0.0, a / b);
  double floor = std::floor(quotient);
  return quotient - floor > 0.5 ? floor + 1 : floor;
}

Value integer_power(int64_t base, int64_t exponent) {
  if (exponent < 0) {
    if (base == 0) fail("zero cannot be raised to a negative power");
    return std::pow(static_cast<double>(base), static_cast<double>(exponent));
  }
  int64_t result = 1;
  for (; exponent > 0; exponent >>= 1) {
    if (exponent & 1 && __builtin_mul_overflow(result, base, &result)) fail_overflow();
    if (exponent > 1 && __builtin_mul_overflow(base, base, &base)) fail_overflow();
  }
  return result;
}

Value real_power(double base, double exponent) {
  if (base == 0 && exponent < 0) fail("zero cannot be raised to a negative power");
  if (base < 0 && std::floor(exponent) != exponent) fail_unsupported("a complex number");
  double result = std::pow(base, exponent);
  if (std::isinf(result) && !std::isinf(base) && !std::isinf(exponent)) fail("numerical result out of range");
  return result;
}

Value integer_arithmetic(std::string_view op, int64_t a, int64_t b) {
  int64_t result = 0;
  bool overflow = op == "+"   ? __builtin_add_overflow(a, b, &result)
                  : op == "-" ? __builtin_sub_overflow(a, b, &result)
                              : op == "*" && __builtin_mul_overflow(a, b, &result);
  if (overflow) fail_overflow();
  if (op == "+" || op == "-" || op == "*") return result;
  if (op == "//") return floor_divide(a, b);
  if (op == "%") return floor_modulo(a, b);
  if (op == "**") return integer_power(a, b);
  if (b == 0) fail("division by zero");
  return static_cast<double>(static_cast<long double>(a) / static_cast<long double>(b));
}

Value real_arithmetic(std::string_view op, double a, double b) {
  if (op == "+") return a + b;
  if (op == "-") return a - b;
  if (op == "*") return a * b;
  if (op == "//") return real_floor_divide(a, b);
  if (op == "%") return real_modulo(a, b);
  if (op == "**") return real_power(a, b);
  if (b == 0) fail("division by zero");
  return a / b;
}

Value repeat(Interpreter& interpreter, const Value& value, int64_t times) {
  Budget& budget = interpreter.budget();
  times = std::max<int64_t>(times, 0);
  if (auto* text = as_text(value)) {
    if (text->bytes.empty()) return value;
    if (static_cast<size_t>(times) > budget.max_text_bytes() / text->bytes.size() + 1) budget.check_length(SIZE_MAX);
    TextBuilder out(budget);
    for (; times > 0; times--) out.append(*text);
    return out.finish(text->markup);
  }
  auto* sequence = as_sequence(value);
  std::vector<Value> elements;
  if (sequence->elements.empty()) times = 0;
  for (; times > 0; times--) {
    budget.charge_elements(sequence->elements.size());
    elements.insert(elements.end(), sequence->elements.begin(), sequence->elements.end());
  }
  return make_sequence(sequence->kind, std::move(elements));
}

bool repeatable(const Value& value) {
  auto* sequence = as_sequence(value);
  return as_text(value) || (sequence && sequence->kind <= Sequence::Kind::tuple);
}

}  // namespace

Value add(Interpreter& interpreter, const Value& a, const Value& b) {
  Budget& budget = interpreter.budget();
  auto *s = as_text(a), *t = as_text(b);
  if (s && t) {
    bool markup = s->markup || t->markup;
    TextBuilder out(budget);
    out.append(markup ? *escape_html(budget, *s) : *s);
    out.append(markup ? *escape_html(budget, *t) : *t);
    return out.finish(markup);
  }
  auto *p = as_sequence(a), *q = as_sequence(b);
  if (!p || !q || p->kind != q->kind || p->kind > Sequence::Kind::tuple) fail_operands("+", a, b);
  std::vector<Value> elements = p->elements;
  elements.insert(elements.end(), q->elements.begin(), q->elements.end());
  budget.charge_elements(elements.size());
  return make_sequence(p->kind, std::move(elements));
}

Value arithmetic(Interpreter& interpreter, std::string_view op, const Value& a, const Value& b) {
  int64_t i, j;
  double x, y;
  if (as_int(a, i) && as_int(b, j)) return integer_arithmetic(op, i, j);
  if (as_number(a, x) && as_number(b, y)) return real_arithmetic(op, x, y);
  if (op == "+") return add(interpreter, a, b);
  if (op == "*" && repeatable(a) && as_int(b, j)) return repeat(interpreter, a, j);
  if (op == "*" && repeatable(b) && as_int(a, i)) return repeat(interpreter, b, i);
  if (op == "%" && as_text(a)) return format_percent(interpreter, *as_text(a), b);
  fail_operands(op, a, b);
}

bool contains(Interpreter& interpreter, const Value& container, const Value& element) {
  Budget& budget = interpreter.budget();
  if (auto* text = as_text(container)) {
    if (is_undefined(element)) fail_undefined(element);
    if (!as_text(element)) fail("'in <string>' requires string as left operand");
    budget.charge(static_cast<int64_t>(text->bytes.size() / 1024));
    return find_text(text->bytes, as_text(element)->bytes) != std::string_view::npos;
  }
  if (auto* dict = as_dict(container)) {
    require_hashable(element);
    return dict->find(element) != nullptr;
  }
  auto* sequence = as_sequence(container);
  if (!sequence) {
    if (is_undefined(container)) return false;
    fail("argument of type '" + std::string(type_name(container)) + "' is not iterable");
  }
  if (sequence->kind == Sequence::Kind::keys) require_hashable(element);
  bool once = sequence->kind == Sequence::Kind::iterator;
  for (size_t i = once ? sequence->position : 0; i < sequence->elements.size(); i++) {
    if (once) sequence->position = i + 1;
    if (equal(budget, sequence->elements[i], element)) return true;
  }
  return false;
}

}  // namespace penstock::jinja
