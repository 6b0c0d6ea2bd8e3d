#include "engine/text/template_parser.h"

#include <algorithm>

namespace penstock::jinja {
namespace {
constexpr int max_nesting = 200;
}

using Kind = Token::Kind;

Parser::Parser(const Source& source) : source_(source), tokens_(tokenize(source)) {}

Parser::Nested::Nested(Parser& parser) : parser_(parser) {
  if (parser_.nesting_ == max_nesting)
    parser_.fail(parser_.current().line, "nested deeper than " + std::to_string(max_nesting) + " levels");
  parser_.nesting_++;
}

Token Parser::next() {
  Token token = current();
  if (at_ + 1 < tokens_.size()) at_++;
  return token;
}

bool Parser::skip_op(std::string_view op) { return current().is_op(op) && (at_++, true); }
bool Parser::skip_name(std::string_view name) { return current().is_name(name) && (at_++, true); }

void Parser::expect_op(std::string_view op) {
  if (!skip_op(op)) fail_unexpected("'" + std::string(op) + "'");
}

void Parser::expect_name(std::string_view name) {
  if (!skip_name(name)) fail_unexpected("'" + std::string(name) + "'");
}

Token Parser::expect(Kind kind, const std::string& what) {
  if (current().kind != kind) fail_unexpected(what);
  return next();
}

void Parser::fail_unexpected(const std::string& wanted) const {
  static const char* const kinds[] = {"text", "{{", "}}", "{%", "%}", "", "a string", "", "", "", "the template's end"};
  auto& token = current();
  std::string got = token.kind == Kind::string || token.text.empty() ? kinds[static_cast<size_t>(token.kind)]
                                                                     : "'" + token.text + "'";
  fail(token.line, "expected " + wanted + ", got " + got);
}

void Parser::fail_if_unknown_since(size_t mark) const {
  if (unknown_.size() > mark) fail(unknown_[mark].line, unknown_[mark].what);
}

Template Parser::parse() {
  Template whole;
  whole.body = parse_body({});
  fail_if_unknown_since(0);
  find_unset_names(source_, whole);
  return whole;
}

Statement Parser::statement(Statement::Kind kind) const {
  Statement made{};
  made.kind = kind;
  made.line = current().line;
  return made;
}

Body Parser::parse_body(std::initializer_list<std::string_view> ends) {
  Nested nested(*this);
  Body body;
  while (current().kind != Kind::end) {
    if (current().kind == Kind::data) {
      auto data = statement(Statement::Kind::data);
      data.data = make_text(next().text);
      body.push_back(std::move(data));
    } else if (current().kind == Kind::variable_begin) {
      next();
      auto output = statement(Statement::Kind::output);
      output.expr = parse_tuple();
      expect(Kind::variable_end, "}}");
      body.push_back(std::move(output));
    } else {
      expect(Kind::block_begin, "a tag");
      if (current().kind == Kind::name && std::find(ends.begin(), ends.end(), current().text) != ends.end())
        return body;
      if (skip_name("print"))
        parse_print(body);
      else
        body.push_back(parse_statement());
      expect(Kind::block_end, "%}");
    }
  }
  if (ends.size()) fail_unexpected("'" + std::string(*(ends.end() - 1)) + "'");
  return body;
}

// A body that jinja2 compiles as a function of its own.
Body Parser::parse_scope(std::initializer_list<std::string_view> ends, bool drop_end) {
  expect(Kind::block_end, "%}");
  size_t mark = unknown_.size();
  Body body = parse_body(ends);
  fail_if_unknown_since(mark);
  if (drop_end) next();
  return body;
}

Statement Parser::parse_statement() {
  if (current().kind != Kind::name) fail_unexpected("a tag's name");
  const std::string& tag = current().text;
  if (tag == "set") return parse_set();
  if (tag == "for") return parse_for();
  if (tag == "if") return parse_if();
  if (tag == "macro") return parse_macro();
  if (tag == "call") return parse_call_block();
  if (tag == "with") return parse_with();
  if (tag == "filter") {
    auto block = statement(Statement::Kind::filter_block);
    next();
    block.expr = parse_filter_chain();
    block.body = parse_scope({"endfilter"});
    return block;
  }
  if (tag == "generation") {
    auto block = statement(Statement::Kind::generation);
    next();
    block.macro = std::make_unique<MacroDefinition>();
    block.macro->line = block.line;
    parse_macro_body(*block.macro, "endgeneration");
    return block;
  }
  if (tag == "break" || tag == "continue") {
    auto jump = statement(tag == "break" ? Statement::Kind::loop_break : Statement::Kind::loop_continue);
    if (!loops_) fail(jump.line, "'" + tag + "' outside of a loop");
    next();
    return jump;
  }
  static constexpr std::string_view left_out[] = {"autoescape", "block", "extends", "from", "import", "include"};
  bool known = std::find(std::begin(left_out), std::end(left_out), tag) != std::end(left_out);
  fail(current().line, "the tag '" + tag + (known ? "' is not supported" : "' is unknown here"));
}

void Parser::parse_print(Body& body) {
  while (current().kind != Kind::block_end) {
    if (tokens_[at_ - 1].is_name("print") == false) expect_op(",");
    auto output = statement(Statement::Kind::output);
    output.expr = parse_expression();
    body.push_back(std::move(output));
  }
}

Statement Parser::parse_set() {
  auto set = statement(Statement::Kind::set);
  next();
  set.target = parse_target(true);
  if (skip_op("=")) {
    set.expr = parse_tuple();
    return set;
  }
  set.kind = Statement::Kind::set_block;
  if (skip_op("|")) set.expr = parse_filter_chain();
  set.body = parse_scope({"endset"});
  return set;
}

Statement Parser::parse_for() {
  auto loop = statement(Statement::Kind::for_loop);
  next();
  loop.target = parse_target(false);
  expect_name("in");
  loop.expr = parse_tuple(false);
  if (skip_name("if")) loop.condition = parse_expression();
  loop.recursive = skip_name("recursive");
  loops_++;
  loop.body = parse_scope({"endfor", "else"}, false);
  loops_--;
  if (next().text == "else") {
    int outer_loops = loop.recursive ? std::exchange(loops_, 0) : loops_;  // a recursive loop is a function
    loop.otherwise = parse_scope({"endfor"});
    loops_ = outer_loops;
  }
  return loop;
}

Statement Parser::parse_if() {
  auto chain = statement(Statement::Kind::if_chain);
  size_t mark = unknown_.size();
  next();
  while (true) {
    ExprPtr condition = parse_tuple(false);
    expect(Kind::block_end, "%}");
    chain.branches.push_back({std::move(condition), parse_body({"elif", "else", "endif"})});
    auto end = next();
    if (end.text == "elif") continue;
    if (end.text == "else") {
      expect(Kind::block_end, "%}");
      chain.otherwise = parse_body({"endif"});
      next();
    }
    break;
  }
  unknown_.resize(mark);
  return chain;
}

void Parser::parse_signature(MacroDefinition& macro) {
  expect_op("(");
  while (!current().is_op(")")) {
    if (!macro.parameters.empty()) expect_op(",");
    auto name = expect(Kind::name, "a parameter's name");
    if (std::find(macro.parameters.begin(), macro.parameters.end(), name.text) != macro.parameters.end())
      fail(name.line, "the parameter '" + name.text + "' is there twice");
    if (skip_op("="))
      macro.defaults.push_back(parse_expression());
    else if (!macro.defaults.empty())
      fail(name.line, "a parameter without default follows one with a default");
    macro.parameters.push_back(name.text);
  }
  expect_op(")");
}

void Parser::parse_macro_body(MacroDefinition& macro, std::string_view end) {
  int outer_loops = std::exchange(loops_, 0);
  macros_.push_back(&macro);
  macro.body = parse_scope({end});
  macros_.pop_back();
  loops_ = outer_loops;
}

Statement Parser::parse_macro() {
  auto made = statement(Statement::Kind::macro);
  next();
  auto macro = std::make_unique<MacroDefinition>();
  macro->line = made.line;
  macro->name = expect(Kind::name, "a macro's name").text;
  parse_signature(*macro);
  parse_macro_body(*macro, "endmacro");
  made.macro = std::move(macro);
  return made;
}

Statement Parser::parse_call_block() {
  auto made = statement(Statement::Kind::call_block);
  next();
  auto macro = std::make_unique<MacroDefinition>();
  macro->line = made.line;
  if (current().is_op("(")) parse_signature(*macro);
  made.expr = parse_expression();
  if (made.expr->kind != Expr::Kind::call) fail(made.line, "expected a call");
  parse_macro_body(*macro, "endcall");
  made.macro = std::move(macro);
  return made;
}

Statement Parser::parse_with() {
  auto with = statement(Statement::Kind::with_block);
  next();
  while (current().kind != Kind::block_end) {
    if (!with.targets.empty()) expect_op(",");
    with.targets.push_back(parse_single_target(false));
    expect_op("=");
    with.exprs.push_back(parse_expression());
  }
  with.body = parse_scope({"endwith"});
  return with;
}

Target Parser::parse_target(bool namespaces) {
  int line = current().line;
  Target first = parse_single_target(namespaces);
  if (!current().is_op(",")) return first;
  Target tuple{Target::Kind::tuple, line, {}, {}, {}};
  tuple.parts.push_back(std::move(first));
  while (skip_op(",")) {
    if (current().is_name("in") || current().is_op("=") || current().is_op(")")) break;
    tuple.parts.push_back(parse_single_target(namespaces));
  }
  return tuple;
}

Target Parser::parse_single_target(bool namespaces) {
  Nested nested(*this);
  if (skip_op("(")) {
    Target inner = parse_target(namespaces);
    expect_op(")");
    return inner;
  }
  auto name = expect(Kind::name, "a name to assign to");
  static constexpr std::string_view constants[] = {"true", "True", "false", "False", "none", "None"};
  if (std::find(std::begin(constants), std::end(constants), name.text) != std::end(constants))
    fail(name.line, "can't assign to '" + name.text + "'");
  if (namespaces && skip_op(".")) {
    auto attribute = expect(Kind::name, "an attribute's name");
    return {Target::Kind::attribute, name.line, name.text, attribute.text, {}};
  }
  return {Target::Kind::name, name.line, name.text, {}, {}};
}

}  // namespace penstock::jinja
