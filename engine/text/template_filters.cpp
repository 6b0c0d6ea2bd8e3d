// Looks filters up, and the filters of numbers and of any value.
#include "engine/text/template_filters.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "engine/text/template_eval.h"

namespace penstock::jinja {
namespace {

Value do_default(Interpreter&, const Value& subject, const Args& args) {
  auto bound = args.bind("default", {"default_value", "boolean"});
  bool replaced = is_undefined(subject) || (bound[1] && truthy(*bound[1]) && !truthy(subject));
  return !replaced ? subject : bound[0] ? *bound[0] : text_value("");
}

Value do_int(Interpreter&, const Value& subject, const Args& args) {
  auto bound = args.bind("int", {"default", "base"});
  Value fallback = bound[0] ? *bound[0] : Value(int64_t{0});
  int64_t integer, base = 10;
  double real;
  if (is_undefined(subject)) fail_undefined(subject);
  if (as_int(subject, integer)) return integer;
  if (auto* given = as<double>(subject)) {
    real = *given;
    if (std::isinf(real)) fail("cannot convert float infinity to integer");
  } else if (auto* text = as_text(subject)) {
    if (bound[1] && !as_int(*bound[1], base)) fail("int: the base must be an integer");
    if (parse_python_int(text->bytes, base, integer)) return integer;
    if (!parse_python_float(text->bytes, real)) return fallback;
  } else {
    return fallback;
  }
  if (std::isnan(real) || std::isinf(real)) return fallback;
  if (std::fabs(real) >= 9.2e18) fail("an integer does not fit into 64 bits");
  return static_cast<int64_t>(real);
}

Value do_float(Interpreter&, const Value& subject, const Args& args) {
  auto bound = args.bind("float", {"default"});
  double real;
  if (is_undefined(subject)) fail_undefined(subject);
  if (as_number(subject, real)) return real;
  auto* text = as_text(subject);
  if (text && parse_python_float(text->bytes, real)) return real;
  return bound[0] ? *bound[0] : Value(0.0);
}

Value do_abs(Interpreter& interpreter, const Value& subject, const Args& args) {
  args.bind("abs", {});
  int64_t integer;
  if (auto* real = as<double>(subject)) return std::fabs(*real);
  if (is_undefined(subject)) fail_undefined(subject);
  if (!as_int(subject, integer)) fail("bad operand type for abs(): '" + std::string(type_name(subject)) + "'");
  return integer < 0 ? arithmetic(interpreter, "-", int64_t{0}, integer) : Value(integer);
}

// round() rounds the exact decimal value half to even, which is what printf does.
double round_to(double value, int64_t precision) {
  if (!std::isfinite(value) || precision > 330) return value;
  if (precision >= 0) {
    char buffer[700];
    std::snprintf(buffer, sizeof buffer, "%.*f", static_cast<int>(precision), value);
    return std::strtod(buffer, nullptr);
  }
  if (precision < -310) return std::copysign(0.0, value);
  double scale = std::pow(10.0, static_cast<double>(-precision));
  return std::nearbyint(value / scale) * scale;
}

Value do_round(Interpreter&, const Value& subject, const Args& args) {
  auto bound = args.bind("round", {"precision", "method"});
  int64_t precision = 0, integer;
  double real;
  if (is_undefined(subject)) fail_undefined(subject);
  if (bound[0] && !as_int(*bound[0], precision)) fail("round: the precision must be an integer");
  std::string method = bound[1] && as_text(*bound[1]) ? as_text(*bound[1])->bytes : bound[1] ? "" : "common";
  if (method != "common" && method != "ceil" && method != "floor")
    fail("round: the method must be common, ceil or floor");
  if (!as_number(subject, real)) fail("round: a number is required");
  if (method == "common") {
    if (!as_int(subject, integer)) return round_to(real, precision);
    if (precision >= 0) return integer;
    return static_cast<int64_t>(round_to(real, precision));
  }
  double scale = std::pow(10.0, static_cast<double>(precision));
  if (!std::isfinite(real * scale)) fail("round: the number is out of range");
  return (method == "ceil" ? std::ceil(real * scale) : std::floor(real * scale)) / scale;
}

Value sorted_keys(Budget& budget, const Value& value) {
  if (auto* sequence = as_sequence(value); sequence && sequence->kind <= Sequence::Kind::tuple) {
    std::vector<Value> elements;
    for (auto& element : sequence->elements) elements.push_back(sorted_keys(budget, element));
    return make_sequence(sequence->kind, std::move(elements));
  }
  auto* dict = as_dict(value);
  if (!dict) return value;
  std::vector<std::pair<Value, Value>> entries;
  for (auto& [key, inner] : dict->entries) entries.emplace_back(key, sorted_keys(budget, inner));
  for (auto& [key, inner] : entries)
    if (entries.size() > 1 && !as_text(key)) fail_unsupported("pprint of a mapping whose keys are no strings");
  std::stable_sort(entries.begin(), entries.end(),
                   [&](auto& a, auto& b) { return compare(budget, a.first, b.first) < 0; });
  return make_dict(std::move(entries));
}

Value do_tojson(Interpreter& interpreter, const Value& subject, const Args& args) {
  return to_json(interpreter, subject, args);
}

Value do_attr(Interpreter& interpreter, const Value& subject, const Args& args) {
  auto* name = as_text(*args.bind("attr", {"name"}, 1)[0]);
  if (is_undefined(subject)) fail_undefined(subject);
  if (!name) fail("attr: the name must be a string");
  if (as_dict(subject) && find_method(subject, name->bytes) == Attribute::missing)
    return make_undefined("'dict' has no attribute '" + name->bytes + "'");
  return interpreter.attribute(subject, name->bytes);
}

// One line of repr with the keys of mappings sorted; Python would break lines of 80 characters and more.
Value do_pprint(Interpreter& interpreter, const Value& subject, const Args& args) {
  args.bind("pprint", {"verbose"});
  TextBuilder out(interpreter.budget());
  append_repr(out, sorted_keys(interpreter.budget(), subject));
  TextPtr text = out.finish();
  if (count_code_points(text->bytes) > 80 && (as_dict(subject) || as_sequence(subject) || as_text(subject)))
    fail_unsupported("pprint of a value longer than a line");
  return text;
}

}  // namespace

const std::vector<NamedFilter> number_filters = {{"pprint", do_pprint}, {"abs", do_abs},         {"attr", do_attr},
                                                 {"d", do_default},     {"default", do_default}, {"float", do_float},
                                                 {"int", do_int},       {"round", do_round},     {"tojson", do_tojson}};

FilterFunction find_filter(std::string_view name) {
  for (auto* group : {&number_filters, &text_filters, &html_filters, &layout_filters, &sequence_filters,
                      &grouping_filters, &selecting_filters})
    for (auto& filter : *group)
      if (filter.name == name) return filter.function;
  return nullptr;
}

bool is_unsupported_filter(std::string_view name) { return name == "random" || name == "urlize"; }

}  // namespace penstock::jinja
