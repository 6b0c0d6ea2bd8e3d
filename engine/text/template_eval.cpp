#include "engine/text/template_eval.h"

#include "engine/text/template_filters.h"
#include "engine/text/template_objects.h"

namespace penstock::jinja {

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

}  // namespace penstock::jinja
