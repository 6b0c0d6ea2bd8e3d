// The tests that follow `is`.
#include "engine/text/template_eval.h"
#include "engine/text/template_filters.h"

namespace penstock::jinja {
namespace {

const Value& operand(const Args& args) { return *args.bind("test", {"other"}, 1)[0]; }

template <bool (*predicate)(const Value&)>
bool plain(Interpreter&, const Value& subject, const Args& args) {
  args.bind("test", {});
  return predicate(subject);
}

bool is_defined(const Value& value) { return !is_undefined(value); }
bool is_string(const Value& value) { return as_text(value) != nullptr; }
bool is_boolean(const Value& value) { return as<bool>(value) != nullptr; }
bool is_true(const Value& value) { return is_boolean(value) && truthy(value); }
bool is_false(const Value& value) { return is_boolean(value) && !truthy(value); }
bool is_integer(const Value& value) { return as<int64_t>(value) != nullptr; }
bool is_float(const Value& value) { return as<double>(value) != nullptr; }
bool is_number(const Value& value) { return is_boolean(value) || is_integer(value) || is_float(value); }
bool is_mapping(const Value& value) { return as_dict(value) != nullptr; }
bool is_iterable(const Value& value) {
  return is_undefined(value) || as_text(value) || as_dict(value) || as_sequence(value);
}
bool is_sequence(const Value& value) {  // it has a length and an index operator
  auto* sequence = as_sequence(value);
  return is_undefined(value) || as_text(value) || as_dict(value) ||
         (sequence && sequence->kind <= Sequence::Kind::range);
}
bool is_callable(const Value& value) {
  auto* object = as<Object*>(value);
  return is_undefined(value) || (object && (*object)->callable());
}
bool is_escaped(const Value& value) { return as_text(value) && as_text(value)->markup; }

template <bool upper>
bool is_case(Interpreter& interpreter, const Value& subject, const Args& args) {
  args.bind("test", {});
  TextPtr text = to_text(interpreter.budget(), subject);
  return truthy(call_text_method(interpreter, text, upper ? "isupper" : "islower", {}));
}

template <int64_t remainder>
bool is_modulo_two(Interpreter& interpreter, const Value& subject, const Args& args) {
  args.bind("test", {});
  return equal(interpreter.budget(), arithmetic(interpreter, "%", subject, int64_t{2}), remainder);
}

bool is_divisible(Interpreter& interpreter, const Value& subject, const Args& args) {
  return equal(interpreter.budget(), arithmetic(interpreter, "%", subject, operand(args)), int64_t{0});
}

template <bool wanted>
bool is_equal(Interpreter& interpreter, const Value& subject, const Args& args) {
  return equal(interpreter.budget(), subject, operand(args)) == wanted;
}

enum class Order { less, less_equal, greater, greater_equal };
template <Order wanted>
bool is_ordered(Interpreter& interpreter, const Value& subject, const Args& args) {
  int order = compare(interpreter.budget(), subject, operand(args));
  if (order == unordered) return false;
  switch (wanted) {
    case Order::less:
      return order < 0;
    case Order::less_equal:
      return order <= 0;
    case Order::greater:
      return order > 0;
    default:
      return order >= 0;
  }
}

bool is_in(Interpreter& interpreter, const Value& subject, const Args& args) {
  return contains(interpreter, operand(args), subject);
}

// Identity is only stable for the singletons; small integers and strings compare by value as CPython interns them.
bool is_same(Interpreter& interpreter, const Value& subject, const Args& args) {
  auto& other = operand(args);
  return subject.index() == other.index() && equal(interpreter.budget(), subject, other);
}

template <bool filter>
bool is_known(Interpreter&, const Value& subject, const Args& args) {
  args.bind("test", {});
  auto* name = as_text(subject);
  return name && (filter ? find_filter(name->bytes) != nullptr : find_test(name->bytes) != nullptr);
}

const std::vector<NamedTest> tests = {{"odd", is_modulo_two<1>},
                                      {"even", is_modulo_two<0>},
                                      {"divisibleby", is_divisible},
                                      {"defined", plain<is_defined>},
                                      {"undefined", plain<is_undefined>},
                                      {"none", plain<is_none>},
                                      {"boolean", plain<is_boolean>},
                                      {"true", plain<is_true>},
                                      {"false", plain<is_false>},
                                      {"integer", plain<is_integer>},
                                      {"float", plain<is_float>},
                                      {"number", plain<is_number>},
                                      {"string", plain<is_string>},
                                      {"mapping", plain<is_mapping>},
                                      {"iterable", plain<is_iterable>},
                                      {"sequence", plain<is_sequence>},
                                      {"callable", plain<is_callable>},
                                      {"escaped", plain<is_escaped>},
                                      {"lower", is_case<false>},
                                      {"upper", is_case<true>},
                                      {"sameas", is_same},
                                      {"in", is_in},
                                      {"==", is_equal<true>},
                                      {"eq", is_equal<true>},
                                      {"equalto", is_equal<true>},
                                      {"!=", is_equal<false>},
                                      {"ne", is_equal<false>},
                                      {"<", is_ordered<Order::less>},
                                      {"lt", is_ordered<Order::less>},
                                      {"lessthan", is_ordered<Order::less>},
                                      {"<=", is_ordered<Order::less_equal>},
                                      {"le", is_ordered<Order::less_equal>},
                                      {">", is_ordered<Order::greater>},
                                      {"gt", is_ordered<Order::greater>},
                                      {"greaterthan", is_ordered<Order::greater>},
                                      {">=", is_ordered<Order::greater_equal>},
                                      {"ge", is_ordered<Order::greater_equal>},
                                      {"filter", is_known<true>},
                                      {"test", is_known<false>}};

}  // namespace

TestFunction find_test(std::string_view name) {
  for (auto& test : tests)
    if (test.name == name) return test.function;
  return nullptr;
}

}  // namespace penstock::jinja
