// The parser's half for expressions; the order of precedence is jinja2's, which is not quite Python's: unary minus
// binds tighter than **, and ** groups from the left.
#include <algorithm>

#include "engine/text/template_filters.h"
#include "engine/text/template_parser.h"

namespace penstock::jinja {
namespace {
constexpr int max_expression_depth = 300;  // of the tree, whose walk takes as much stack
}

using Kind = Token::Kind;

ExprPtr Parser::make(Expr expr) const {
  int inner = 0;
  auto look = [&](const ExprPtr& part) {
    if (part) inner = std::max(inner, part->depth);
  };
  std::for_each(expr.parts.begin(), expr.parts.end(), look);
  std::for_each(expr.arguments.positional.begin(), expr.arguments.positional.end(), look);
  for (auto& [name, value] : expr.arguments.named) look(value);
  look(expr.arguments.star);
  look(expr.arguments.star_star);
  expr.depth = inner + 1;
  if (expr.depth > max_expression_depth)
    fail(expr.line, "an expression is deeper than " + std::to_string(max_expression_depth) + " levels");
  return std::make_unique<const Expr>(std::move(expr));
}

ExprPtr Parser::make(Expr::Kind kind, int line, ExprPtr a, ExprPtr b, std::string text) const {
  Expr expr{};
  expr.kind = kind;
  expr.line = line;
  expr.text = std::move(text);
  expr.parts.push_back(std::move(a));
  if (b) expr.parts.push_back(std::move(b));
  return make(std::move(expr));
}

bool Parser::at_tuple_end() const {
  return current().kind == Kind::variable_end || current().kind == Kind::block_end || current().is_op(")");
}

ExprPtr Parser::parse_tuple(bool conditionals, bool in_parentheses) {
  Expr tuple{};
  tuple.kind = Expr::Kind::tuple;
  tuple.line = current().line;
  bool comma = false;
  while (!at_tuple_end() && !(comma && current().is_name("recursive"))) {
    tuple.parts.push_back(parse_expression(conditionals));
    if (!skip_op(",")) break;
    comma = true;
  }
  if (comma) return make(std::move(tuple));
  if (!tuple.parts.empty()) return std::move(tuple.parts[0]);
  if (!in_parentheses) fail_unexpected("an expression");
  return make(std::move(tuple));
}

ExprPtr Parser::parse_expression(bool conditionals) {
  Nested nested(*this);
  size_t mark = unknown_.size();
  int line = current().line;
  ExprPtr value = parse_or();
  while (conditionals && skip_name("if")) {
    Expr expr{};
    expr.kind = Expr::Kind::conditional;
    expr.line = line;
    expr.parts.push_back(parse_or());
    expr.parts.push_back(std::move(value));
    expr.parts.push_back(skip_name("else") ? parse_expression() : nullptr);
    value = make(std::move(expr));
    unknown_.resize(mark);
    line = current().line;
  }
  return value;
}

ExprPtr Parser::parse_or() {
  ExprPtr left = parse_and();
  while (skip_name("or")) left = make(Expr::Kind::logical_or, current().line, std::move(left), parse_and());
  return left;
}

ExprPtr Parser::parse_and() {
  ExprPtr left = parse_not();
  while (skip_name("and")) left = make(Expr::Kind::logical_and, current().line, std::move(left), parse_not());
  return left;
}

ExprPtr Parser::parse_not() {
  int line = current().line;
  if (!skip_name("not")) return parse_compare();
  Nested nested(*this);
  return make(Expr::Kind::logical_not, line, parse_not());
}

ExprPtr Parser::parse_compare() {
  static constexpr std::string_view orders[] = {"==", "!=", "<", "<=", ">", ">="};
  Expr expr{};
  expr.kind = Expr::Kind::compare;
  expr.line = current().line;
  expr.parts.push_back(parse_sum());
  while (true) {
    if (current().kind == Kind::op &&
        std::find(std::begin(orders), std::end(orders), current().text) != std::end(orders))
      expr.operators.push_back(next().text);
    else if (skip_name("in"))
      expr.operators.push_back("in");
    else if (current().is_name("not") && following().is_name("in"))
      at_ += 2, expr.operators.push_back("not in");
    else
      break;
    expr.parts.push_back(parse_sum());
  }
  return expr.operators.empty() ? std::move(expr.parts[0]) : make(std::move(expr));
}

ExprPtr Parser::parse_sum() {
  ExprPtr left = parse_concat();
  while (current().is_op("+") || current().is_op("-")) {
    auto op = next();
    left = make(Expr::Kind::arithmetic, op.line, std::move(left), parse_concat(), op.text);
  }
  return left;
}

ExprPtr Parser::parse_concat() {
  Expr expr{};
  expr.kind = Expr::Kind::concat;
  expr.line = current().line;
  expr.parts.push_back(parse_product());
  while (skip_op("~")) expr.parts.push_back(parse_product());
  return expr.parts.size() == 1 ? std::move(expr.parts[0]) : make(std::move(expr));
}

ExprPtr Parser::parse_product() {
  ExprPtr left = parse_power();
  while (current().is_op("*") || current().is_op("/") || current().is_op("//") || current().is_op("%")) {
    auto op = next();
    left = make(Expr::Kind::arithmetic, op.line, std::move(left), parse_power(), op.text);
  }
  return left;
}

ExprPtr Parser::parse_power() {
  ExprPtr left = parse_unary();
  while (current().is_op("**")) {
    auto op = next();
    left = make(Expr::Kind::arithmetic, op.line, std::move(left), parse_unary(), op.text);
  }
  return left;
}

ExprPtr Parser::parse_unary(bool filters) {
  Nested nested(*this);
  int line = current().line;
  ExprPtr value;
  if (skip_op("-"))
    value = make(Expr::Kind::negate, line, parse_unary(false));
  else if (skip_op("+"))
    value = make(Expr::Kind::plus, line, parse_unary(false));
  else
    value = parse_primary();
  value = parse_postfix(std::move(value));
  return filters ? parse_filters_and_tests(std::move(value)) : std::move(value);
}

ExprPtr Parser::parse_primary() {
  Expr expr{};
  expr.kind = Expr::Kind::constant;
  expr.line = current().line;
  switch (current().kind) {
    case Kind::name:
      return parse_name();
    case Kind::integer:
      expr.constant = next().integer;
      return make(std::move(expr));
    case Kind::real:
      expr.constant = next().real;
      return make(std::move(expr));
    case Kind::string: {
      std::string joined;
      while (current().kind == Kind::string) joined += next().text;
      expr.constant = text_value(joined);
      return make(std::move(expr));
    }
    default:
      break;
  }
  if (skip_op("(")) {
    ExprPtr inner = parse_tuple(true, true);
    expect_op(")");
    return inner;
  }
  if (skip_op("[")) return parse_list();
  if (skip_op("{")) return parse_dict();
  fail_unexpected("an expression");
}

ExprPtr Parser::parse_name() {
  Expr expr{};
  expr.kind = Expr::Kind::constant;
  expr.line = current().line;
  Token token = next();
  const std::string& name = token.text;
  if (name == "true" || name == "True" || name == "false" || name == "False") {
    expr.constant = name == "true" || name == "True";
  } else if (name == "none" || name == "None") {
    expr.constant = None{};
  } else {
    if (name[0] >= '0' && name[0] <= '9') fail(expr.line, "invalid character in identifier");
    for (auto* macro : macros_) {
      macro->takes_caller |= name == "caller";
      macro->takes_varargs |= name == "varargs";
      macro->takes_kwargs |= name == "kwargs";
    }
    expr.kind = Expr::Kind::name;
    expr.text = name;
  }
  return make(std::move(expr));
}

ExprPtr Parser::parse_list() {
  Expr list{};
  list.kind = Expr::Kind::list;
  list.line = current().line;
  while (!current().is_op("]")) {
    list.parts.push_back(parse_expression());
    if (!skip_op(",")) break;
  }
  expect_op("]");
  return make(std::move(list));
}

ExprPtr Parser::parse_dict() {
  Expr dict{};
  dict.kind = Expr::Kind::dict;
  dict.line = current().line;
  while (!current().is_op("}")) {
    dict.parts.push_back(parse_expression());
    expect_op(":");
    dict.parts.push_back(parse_expression());
    if (!skip_op(",")) break;
  }
  expect_op("}");
  return make(std::move(dict));
}

ExprPtr Parser::parse_postfix(ExprPtr subject) {
  while (true) {
    if (current().is_op(".") || current().is_op("["))
      subject = parse_subscript(std::move(subject));
    else if (current().is_op("("))
      subject = parse_call(std::move(subject));
    else
      return subject;
  }
}

ExprPtr Parser::parse_subscript(ExprPtr subject) {
  int line = current().line;
  Expr index{};
  index.kind = Expr::Kind::constant;
  index.line = line;
  if (skip_op(".")) {
    if (current().kind == Kind::name)
      return make(Expr::Kind::attribute, line, std::move(subject), nullptr, next().text);
    index.constant = expect(Kind::integer, "a name or a number").integer;
    return make(Expr::Kind::item, line, std::move(subject), make(std::move(index)));
  }
  next();
  Expr slice{};
  slice.kind = Expr::Kind::slice;
  slice.line = line;
  slice.parts.push_back(std::move(subject));
  auto bound = [&] { return current().is_op(":") || current().is_op("]") ? nullptr : parse_expression(); };
  if (current().is_op("]")) {  // no index is the empty tuple
    next();
    index.kind = Expr::Kind::tuple;
    return make(Expr::Kind::item, line, std::move(slice.parts[0]), make(std::move(index)));
  }
  slice.parts.push_back(bound());
  bool is_slice = skip_op(":");
  if (is_slice) {
    slice.parts.push_back(bound());
    slice.parts.push_back(skip_op(":") ? bound() : nullptr);
  }
  if (current().is_op(",")) {
    if (is_slice) fail(line, "a slice within an index of several parts is not supported");
    index.kind = Expr::Kind::tuple;
    index.parts.push_back(std::move(slice.parts[1]));
    while (skip_op(",")) index.parts.push_back(parse_expression());
    expect_op("]");
    return make(Expr::Kind::item, line, std::move(slice.parts[0]), make(std::move(index)));
  }
  expect_op("]");
  if (!is_slice) return make(Expr::Kind::item, line, std::move(slice.parts[0]), std::move(slice.parts[1]));
  return make(std::move(slice));
}

ExprPtr Parser::parse_filters_and_tests(ExprPtr subject) {
  while (true) {
    if (skip_op("|"))
      subject = parse_filter(std::move(subject));
    else if (skip_name("is"))
      subject = parse_test(std::move(subject));
    else if (current().is_op("("))
      subject = parse_call(std::move(subject));
    else
      return subject;
  }
}

ExprPtr Parser::parse_filter_chain() {
  ExprPtr chain = parse_filter(nullptr);
  while (skip_op("|")) chain = parse_filter(std::move(chain));
  return chain;
}

ExprPtr Parser::parse_filter(ExprPtr subject) {
  Expr expr{};
  expr.kind = Expr::Kind::filter;
  auto name = expect(Kind::name, "a filter's name");
  expr.line = name.line;
  expr.text = name.text;
  expr.filter = find_filter(name.text);
  if (!expr.filter) {
    if (is_unsupported_filter(name.text)) fail(name.line, "the filter '" + name.text + "' is not supported");
    unknown_.push_back({name.line, "no filter named '" + name.text + "'"});
  }
  if (subject) expr.parts.push_back(std::move(subject));
  if (current().is_op("(")) expr.arguments = parse_arguments();
  return make(std::move(expr));
}

ExprPtr Parser::parse_test(ExprPtr subject) {
  bool negated = skip_name("not");
  Expr expr{};
  expr.kind = Expr::Kind::test;
  auto name = expect(Kind::name, "a test's name");
  expr.line = name.line;
  expr.text = name.text;
  expr.test = find_test(name.text);
  if (!expr.test) unknown_.push_back({name.line, "no test named '" + name.text + "'"});
  expr.parts.push_back(std::move(subject));
  auto& after = current();
  bool literal = after.kind == Kind::string || after.kind == Kind::integer || after.kind == Kind::real ||
                 after.is_op("[") || after.is_op("{");
  bool name_argument =
      after.kind == Kind::name && !after.is_name("else") && !after.is_name("or") && !after.is_name("and");
  if (after.is_op("(")) {
    expr.arguments = parse_arguments();
  } else if (literal || name_argument) {
    if (after.is_name("is")) fail(after.line, "tests cannot be chained with 'is'");
    expr.arguments.positional.push_back(parse_postfix(parse_primary()));
  }
  int line = expr.line;
  ExprPtr test = make(std::move(expr));
  return negated ? make(Expr::Kind::logical_not, line, std::move(test)) : std::move(test);
}

ExprPtr Parser::parse_call(ExprPtr callee) {
  Expr call{};
  call.kind = Expr::Kind::call;
  call.line = current().line;
  call.parts.push_back(std::move(callee));
  call.arguments = parse_arguments();
  return make(std::move(call));
}

Arguments Parser::parse_arguments() {
  Nested nested(*this);
  Arguments arguments;
  int line = current().line;
  auto ensure = [&](bool good) {
    if (!good) fail(line, "invalid syntax for a call's arguments");
  };
  expect_op("(");
  while (!current().is_op(")")) {
    if (skip_op("*")) {
      ensure(!arguments.star && !arguments.star_star);
      arguments.star = parse_expression();
    } else if (skip_op("**")) {
      ensure(!arguments.star_star);
      arguments.star_star = parse_expression();
    } else if (current().kind == Kind::name && following().is_op("=")) {
      ensure(!arguments.star_star);
      std::string name = next().text;
      next();
      arguments.named.emplace_back(name, parse_expression());
    } else {
      ensure(!arguments.star && !arguments.star_star && arguments.named.empty());
      arguments.positional.push_back(parse_expression());
    }
    if (!skip_op(",")) break;
  }
  expect_op(")");
  return arguments;
}

}  // namespace penstock::jinja
