// Walks the syntax tree with one request's variables.
#pragma once
#include <deque>
#include <optional>

#include "engine/text/template_lexer.h"
#include "engine/text/template_syntax.h"

namespace penstock::jinja {

// The names that one loop iteration, macro call or block has set. Owned by the Interpreter and used again after
// leaving, unless a macro defined inside may still need it.
struct Scope {
  Scope* parent = nullptr;
  bool captured = false;
  std::vector<std::pair<std::string_view, Value>> names;  // views into the syntax tree

  Value* find(std::string_view name);
  void set(std::string_view name, Value value);
};

class Interpreter {
 public:
  Interpreter(const nlohmann::ordered_json& variables, const ChatTemplate::Limits& limits);

  Text run(const Template& whole);
  int line() const { return line_; }  // of what was evaluated last
  Budget& budget() { return budget_; }

  Value eval(const Expr& expr);
  Value call(const Value& callee, Args& args);
  Value attribute(const Value& subject, std::string_view name);                              // subject.name
  Value item(const Value& subject, const Value& key);                                        // subject[key]
  std::vector<Value> elements(const Value& value);                                           // list(value)
  Value render_loop(const Statement& loop, const Value& iterable, Scope& scope, int depth);  // loop(iterable)
  Value call_macro(const MacroDefinition& macro, Scope& scope, Args& args);
  bool next_of_loop(const Statement& loop, Scope& outer, const std::vector<Value>& source, size_t& position,
                    Value& out);

  template <typename T>
  T* own(std::unique_ptr<T> object) {
    T* raw = object.get();
    objects_.push_back(std::move(object));
    return raw;
  }

 private:
  enum class Flow { normal, loop_break, loop_continue };
  class Entered;  // a scope, for as long as it lives
  class Deeper;   // one level of C++ recursion
  class Capture;  // redirects the output to a text

  // Statements: template_statements.cpp.
  Flow exec(const Body& body);
  Flow exec(const Statement& statement);
  Flow exec_if(const Statement& statement);
  Flow exec_for(const Statement& loop, const Value& iterable, Scope& scope, int depth);
  void exec_call_block(const Statement& statement);
  Flow exec_with(const Statement& statement);
  void assign(const Target& target, const Value& value);
  TextPtr capture(const Body& body, Flow& flow);
  void hide(const Unset& names);  // from here on, in this scope
  void bind_parameters(const MacroDefinition& macro, Args& args);
  void print(const Value& value);

  // Expressions: template_eval.cpp.
  Value eval_name(const Expr& expr);
  Value eval_call(const Expr& expr);
  Value eval_slice(const Expr& expr);
  Value eval_concat(const Expr& expr);
  Value eval_compare(const Expr& expr);
  Value eval_dict(const Expr& expr);
  Value eval_sign(const Expr& expr);
  Value eval_filter(const Expr& expr, const Value& subject);
  std::vector<Value> eval_all(const std::vector<ExprPtr>& parts);
  Args eval_arguments(const Arguments& arguments);
  bool is_true(const Expr& expr) { return truthy(eval(expr)); }
  Value through_filters(const Expr* chain, Value subject);  // {% filter %} and {% set x | … %}
  void capture_scopes();

  Budget budget_;
  std::deque<Scope> scopes_;
  std::vector<Scope*> free_scopes_;
  std::vector<std::unique_ptr<Object>> objects_;
  std::unordered_map<std::string, Value> variables_;
  std::unordered_map<std::string, Value> globals_;  // found so far
  Scope* scope_ = nullptr;
  TextBuilder* out_ = nullptr;
  int line_ = 0;
  int depth_ = 0;
};

class Interpreter::Deeper {
 public:
  explicit Deeper(Interpreter& interpreter) : depth_(interpreter.depth_) {
    constexpr int max_depth = 1500;  // of statements and expressions inside each other, over all macro calls
    if (++depth_ > max_depth) {
      --depth_;
      fail("the template recurses too deep");
    }
  }
  ~Deeper() { --depth_; }

 private:
  int& depth_;
};

}  // namespace penstock::jinja
