// The syntax tree of a chat template: what the parser makes and the interpreter walks. Immutable once parsed.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "engine/text/template_value.h"

namespace penstock::jinja {

struct Expr;
using ExprPtr = std::unique_ptr<const Expr>;

using FilterFunction = Value (*)(Interpreter&, const Value& subject, const Args&);
using TestFunction = bool (*)(Interpreter&, const Value& subject, const Args&);

struct Arguments {
  std::vector<ExprPtr> positional;
  std::vector<std::pair<std::string, ExprPtr>> named;
  ExprPtr star, star_star;  // *list and **dict; null when absent
};

struct Expr {
  enum class Kind {
    constant,
    name,
    list,         // parts: the elements
    tuple,        // parts: the elements
    dict,         // parts: key, value, key, value, …
    attribute,    // parts[0].text
    item,         // parts[0][parts[1]]
    slice,        // parts[0][parts[1]:parts[2]:parts[3]]; null where left out
    call,         // parts[0](arguments)
    filter,       // parts[0] | text(arguments); parts is empty in {% filter %} and {% set x | … %}
    test,         // parts[0] is text(arguments)
    logical_not,  // parts[0]
    negate,       // parts[0]
    plus,         // parts[0]
    arithmetic,   // parts[0] text parts[1]
    compare,      // parts[0] operators[0] parts[1] operators[1] parts[2] …
    concat,       // parts[0] ~ parts[1] ~ …
    logical_and,  // parts[0], parts[1]
    logical_or,   // parts[0], parts[1]
    conditional,  // parts[1] if parts[0] else parts[2], which may be null
  };
  Kind kind;
  int line;
  int depth = 1;
  std::string text;
  Value constant;
  std::vector<ExprPtr> parts;
  std::vector<std::string> operators;
  Arguments arguments;
  FilterFunction filter = nullptr;  // null: jinja2 has no such filter, an error once evaluated
  TestFunction test = nullptr;
};

struct Target {
  enum class Kind { name, attribute, tuple };
  Kind kind;
  int line;
  std::string name;
  std::string attribute;  // of the namespace `name`
  std::vector<Target> parts;
};

struct Statement;
using Body = std::vector<Statement>;
using Unset = std::vector<std::pair<std::string, Value>>;  // names that a block hides from its start

struct MacroDefinition {
  std::string name;
  int line;
  std::vector<std::string> parameters;
  std::vector<ExprPtr> defaults;  // of the last parameters
  Body body;
  Unset unset;
  bool takes_caller = false, takes_varargs = false, takes_kwargs = false;
};

struct Branch;

struct Statement {
  enum class Kind {
    data,          // data
    output,        // expr
    set,           // target = expr
    set_block,     // target = body, through expr (a filter chain) unless null
    for_loop,      // for target in expr if condition: body, else otherwise
    if_chain,      // branches; otherwise
    macro,         // macro
    call_block,    // expr (a call) with macro as its caller
    filter_block,  // body through expr
    with_block,    // targets[i] = exprs[i]: body
    generation,    // macro, called at once
    loop_break,
    loop_continue,
  };
  Kind kind;
  int line;
  TextPtr data;
  ExprPtr expr, condition;
  Target target;
  bool recursive = false;
  std::vector<Target> targets;
  std::vector<ExprPtr> exprs;
  std::vector<Branch> branches;
  Body body, otherwise;
  Unset unset, otherwise_unset;  // of body and otherwise
  std::unique_ptr<MacroDefinition> macro;
};

struct Branch {
  ExprPtr condition;
  Body body;
};

struct Template {
  Body body;
  Unset unset;
};

}  // namespace penstock::jinja
