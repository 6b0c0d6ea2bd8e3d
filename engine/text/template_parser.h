// From tokens to the syntax tree: jinja2's grammar without includes, imports, inheritance and autoescape.
#pragma once
#include "engine/text/template_lexer.h"
#include "engine/text/template_syntax.h"

namespace penstock::jinja {

class Parser {
 public:
  explicit Parser(const Source& source);
  Template parse();  // Errors: Error(bad_model)

 private:
  // Tokens.
  const Token& current() const { return tokens_[at_]; }
  const Token& following() const { return tokens_[std::min(at_ + 1, tokens_.size() - 1)]; }
  Token next();
  bool skip_op(std::string_view op);
  bool skip_name(std::string_view name);
  void expect_op(std::string_view op);
  void expect_name(std::string_view name);
  Token expect(Token::Kind kind, const std::string& what);
  [[noreturn]] void fail(int line, const std::string& message) const { source_.fail(line, message); }
  [[noreturn]] void fail_unexpected(const std::string& wanted) const;

  // Statements: template_parser.cpp.
  Body parse_body(std::initializer_list<std::string_view> ends);  // stops at the name that ends it
  Body parse_scope(std::initializer_list<std::string_view> ends, bool drop_end = true);
  Statement parse_statement();
  Statement parse_set();
  Statement parse_for();
  Statement parse_if();
  Statement parse_macro();
  Statement parse_call_block();
  Statement parse_with();
  Statement statement(Statement::Kind kind) const;
  void parse_signature(MacroDefinition& macro);
  void parse_macro_body(MacroDefinition& macro, std::string_view end);
  void parse_print(Body& body);
  Target parse_target(bool namespaces);
  Target parse_single_target(bool namespaces);

  // Expressions: template_expressions.cpp, one function a level of precedence, from the loosest; and
  // template_primaries.cpp.
  ExprPtr parse_tuple(bool conditionals = true, bool in_parentheses = false);
  ExprPtr parse_expression(bool conditionals = true);
  ExprPtr parse_or();
  ExprPtr parse_and();
  ExprPtr parse_not();
  ExprPtr parse_compare();
  ExprPtr parse_sum();
  ExprPtr parse_concat();
  ExprPtr parse_product();
  ExprPtr parse_power();
  ExprPtr parse_unary(bool filters = true);
  ExprPtr parse_primary();
  ExprPtr parse_name();
  ExprPtr parse_list();
  ExprPtr parse_dict();
  ExprPtr parse_postfix(ExprPtr subject);
  ExprPtr parse_subscript(ExprPtr subject);
  ExprPtr parse_filters_and_tests(ExprPtr subject);
  ExprPtr parse_filter(ExprPtr subject);  // at the filter's name
  ExprPtr parse_filter_chain();           // a filter without subject and the filters after it
  ExprPtr parse_test(ExprPtr subject);
  ExprPtr parse_call(ExprPtr callee);
  Arguments parse_arguments();
  Token dotted_name(const std::string& what);  // of a filter or test
  bool at_tuple_end() const;
  ExprPtr make(Expr expr) const;
  ExprPtr make(Expr::Kind kind, int line, ExprPtr a, ExprPtr b = nullptr, std::string text = {}) const;

  // jinja2 reports a filter or test it does not have when it compiles, except directly inside `if`, where only
  // evaluating it fails. `unknown_` collects those seen; the construct around them decides.
  struct Unknown {
    int line;
    std::string what;
  };
  void fail_if_unknown_since(size_t mark) const;

  // A construct that nests: the stack is as deep as the template's nesting, so that is limited.
  class Nested {
   public:
    explicit Nested(Parser& parser);
    ~Nested() { parser_.nesting_--; }

   private:
    Parser& parser_;
  };

  const Source& source_;
  std::vector<Token> tokens_;
  size_t at_ = 0;
  int nesting_ = 0;
  int loops_ = 0;  // open in this macro: break and continue need one
  std::vector<Unknown> unknown_;
  std::vector<MacroDefinition*> macros_;  // being parsed, outermost first
};

void find_unset_names(const Source& source, Template& whole);

}  // namespace penstock::jinja
