// The objects a template meets: what has state or can be called.
#pragma once
#include "engine/text/template_eval.h"

namespace penstock::jinja {

struct Namespace : Object {
  std::vector<std::pair<std::string, Value>> attributes;

  std::string_view type_name() const override { return "Namespace"; }
  void append_repr(TextBuilder& out, int depth) const override;
  bool attribute(Interpreter&, std::string_view name, Value& out) override;
  void set(Budget& budget, std::string_view name, Value value);
};

struct Macro : Object {
  Macro(const MacroDefinition& macro, Scope& closure) : definition(macro), scope(closure) {}
  const MacroDefinition& definition;
  Scope& scope;  // where it was defined

  std::string_view type_name() const override { return "Macro"; }
  void append_repr(TextBuilder& out, int) const override {
    out.literal(definition.name.empty() ? "<Macro anonymous>" : "<Macro '" + definition.name + "'>");
  }
  bool attribute(Interpreter&, std::string_view name, Value& out) override;
  bool callable() const override { return true; }
  Value call(Interpreter& interpreter, Args& args) override { return interpreter.call_macro(definition, scope, args); }
};

// jinja2's LoopContext: it looks at the next element only when asked to, since the loop's condition may depend on
// what the body does.
struct Loop : Object {
  Loop(const Statement& loop, Scope& outer, std::vector<Value> elements, int level)
      : statement(loop), scope(outer), source(std::move(elements)), depth0(level) {}
  const Statement& statement;
  Scope& scope;
  std::vector<Value> source;
  size_t position = 0;    // in source, of what has not been looked at
  bool filtered = false;  // source holds only what the loop's condition let through
  int depth0;
  int64_t index0 = -1;
  Value previous, current;
  std::optional<Value> after;
  std::optional<int64_t> length;
  std::optional<std::vector<Value>> last_changed;

  bool advance(Interpreter& interpreter);  // false: no further element
  std::string_view type_name() const override { return "LoopContext"; }
  void append_repr(TextBuilder& out, int) const override;
  bool attribute(Interpreter& interpreter, std::string_view name, Value& out) override;
  bool callable() const override { return true; }
  Value call(Interpreter& interpreter, Args& args) override;

 private:
  bool peek(Interpreter& interpreter);
  int64_t count(Interpreter& interpreter);
};

// A function of the interpreter's, bound to what it needs.
struct Function : Object {
  using Body = Value (*)(Interpreter&, const Value& bound, const Args&);
  Function(std::string function_name, Body function_body, Value bound_value)
      : name(std::move(function_name)), body(function_body), bound(std::move(bound_value)) {}
  std::string name;
  Body body;
  Value bound;

  std::string_view type_name() const override { return "builtin_function_or_method"; }
  bool callable() const override { return true; }
  Value call(Interpreter& interpreter, Args& args) override { return body(interpreter, bound, args); }
};

struct BoundMethod : Object {
  BoundMethod(Value of, std::string_view method) : subject(std::move(of)), name(method) {}
  Value subject;
  std::string name;

  std::string_view type_name() const override { return "builtin_function_or_method"; }
  bool callable() const override { return true; }
  Value call(Interpreter& interpreter, Args& args) override;
};

// The global `dict`.
struct DictType : Object {
  std::string_view type_name() const override { return "TemplateDict"; }
  bool attribute(Interpreter& interpreter, std::string_view name, Value& out) override;
  bool callable() const override { return true; }
  Value call(Interpreter& interpreter, Args& args) override;
};

// cycler and joiner: they step each time they are used.
struct Cycler : Object {
  std::vector<Value> elements;
  size_t position = 0;

  std::string_view type_name() const override { return "Cycler"; }
  bool attribute(Interpreter& interpreter, std::string_view name, Value& out) override;
};

struct Joiner : Object {
  Value separator;
  bool used = false;

  std::string_view type_name() const override { return "Joiner"; }
  bool callable() const override { return true; }
  Value call(Interpreter&, Args& args) override;
};

}  // namespace penstock::jinja
