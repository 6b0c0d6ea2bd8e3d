// The parser's half for expressions; the order of precedence is jinja2's, which is not quite Python's: unary minus
// binds tighter than **, and ** groups from the left.
#include <algorithm>

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

}  // namespace penstock::jinja
