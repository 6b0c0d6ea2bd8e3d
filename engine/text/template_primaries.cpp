// The parser's part for what operators stand between: literals, names, subscripts, calls, filters and tests.
#include "engine/text/template_filters.h"
#include "engine/text/template_parser.h"

namespace penstock::jinja {

using Kind = Token::Kind;

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

Token Parser::dotted_name(const std::string& what) {
  Token name = expect(Kind::name, what);
  while (skip_op(".")) name.text += "." + expect(Kind::name, what).text;
  return name;
}

ExprPtr Parser::parse_filter(ExprPtr subject) {
  Expr expr{};
  expr.kind = Expr::Kind::filter;
  auto name = dotted_name("a filter's name");
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
  auto name = dotted_name("a test's name");
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
