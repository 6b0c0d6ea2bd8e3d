// The interpreter's half for statements, scopes and macros.
#include <algorithm>

#include "engine/text/template_eval.h"
#include "engine/text/template_filters.h"
#include "engine/text/template_objects.h"

namespace penstock::jinja {

Value* Scope::find(std::string_view name) {
  for (auto& entry : names)
    if (entry.first == name) return &entry.second;
  return nullptr;
}

void Scope::set(std::string_view name, Value value) {
  if (auto* old = find(name))
    *old = std::move(value);
  else
    names.emplace_back(name, std::move(value));
}

class Interpreter::Entered {
 public:
  Entered(Interpreter& interpreter, Scope* parent) : interpreter_(interpreter), outer_(interpreter.scope_) {
    auto& free = interpreter.free_scopes_;
    if (free.empty()) {
      mine_ = &interpreter.scopes_.emplace_back();
    } else {
      mine_ = free.back();
      free.pop_back();
    }
    mine_->parent = parent;
    interpreter.scope_ = mine_;
  }
  ~Entered() {
    interpreter_.scope_ = outer_;
    if (mine_->captured) return;
    mine_->names.clear();
    interpreter_.free_scopes_.push_back(mine_);
  }

 private:
  Interpreter& interpreter_;
  Scope *outer_, *mine_;
};

class Interpreter::Capture {
 public:
  explicit Capture(Interpreter& interpreter)
      : interpreter_(interpreter), builder_(interpreter.budget_), outer_(interpreter.out_) {
    interpreter.out_ = &builder_;
  }
  ~Capture() { interpreter_.out_ = outer_; }
  TextBuilder& builder() { return builder_; }

 private:
  Interpreter& interpreter_;
  TextBuilder builder_;
  TextBuilder* outer_;
};

Text Interpreter::run(const Template& whole) {
  Capture all(*this);
  Entered top(*this, nullptr);
  hide(whole.unset);
  exec(whole.body);
  return all.builder().take();
}

// What break and continue leave early is never printed.
TextPtr Interpreter::capture(const Body& body, Flow& flow) {
  Capture captured(*this);
  flow = exec(body);
  return captured.builder().finish();
}

void Interpreter::hide(const Unset& names) {
  for (auto& [name, undefined] : names) scope_->names.emplace_back(name, undefined);
}

void Interpreter::print(const Value& value) {
  if (!is_undefined(value)) out_->append(*to_text(budget_, value));
}

Interpreter::Flow Interpreter::exec(const Body& body) {
  for (auto& statement : body)
    if (Flow flow = exec(statement); flow != Flow::normal) return flow;
  return Flow::normal;
}

Interpreter::Flow Interpreter::exec(const Statement& statement) {
  using Kind = Statement::Kind;
  Deeper deeper(*this);
  budget_.charge(1);
  line_ = statement.line;
  switch (statement.kind) {
    case Kind::data:
      out_->append(*statement.data);
      break;
    case Kind::output:
      print(eval(*statement.expr));
      break;
    case Kind::set:
      assign(statement.target, eval(*statement.expr));
      break;
    case Kind::set_block: {
      Flow flow;
      TextPtr text;
      {
        Entered block(*this, scope_);
        hide(statement.unset);
        text = capture(statement.body, flow);
      }
      if (flow != Flow::normal) return flow;
      assign(statement.target, through_filters(statement.expr.get(), text));
      break;
    }
    case Kind::for_loop:
      return exec_for(statement, eval(*statement.expr), *scope_, 0);
    case Kind::if_chain:
      return exec_if(statement);
    case Kind::macro:
      capture_scopes();
      scope_->set(statement.macro->name, own(std::make_unique<Macro>(*statement.macro, *scope_)));
      break;
    case Kind::call_block:
      exec_call_block(statement);
      break;
    case Kind::filter_block: {
      Entered block(*this, scope_);
      hide(statement.unset);
      Flow flow;
      TextPtr text = capture(statement.body, flow);
      if (flow != Flow::normal) return flow;
      print(through_filters(statement.expr.get(), text));
      break;
    }
    case Kind::with_block:
      return exec_with(statement);
    case Kind::generation: {
      Args none;
      print(call_macro(*statement.macro, *scope_, none));
      break;
    }
    case Kind::loop_break:
      return Flow::loop_break;
    case Kind::loop_continue:
      return Flow::loop_continue;
  }
  return Flow::normal;
}

Interpreter::Flow Interpreter::exec_if(const Statement& statement) {
  for (auto& branch : statement.branches)
    if (is_true(*branch.condition)) return exec(branch.body);
  return exec(statement.otherwise);
}

// The values are those outside; only the body sees the names.
Interpreter::Flow Interpreter::exec_with(const Statement& statement) {
  std::vector<Value> values = eval_all(statement.exprs);
  Entered block(*this, scope_);
  hide(statement.unset);
  for (size_t i = 0; i < values.size(); i++) assign(statement.targets[i], values[i]);
  return exec(statement.body);
}

void Interpreter::assign(const Target& target, const Value& value) {
  line_ = target.line;
  if (target.kind == Target::Kind::name) return scope_->set(target.name, value);
  if (target.kind == Target::Kind::attribute) {
    Expr name{};
    name.kind = Expr::Kind::name;
    name.line = target.line;
    name.text = target.name;
    Value holder = eval(name);
    auto* object = as<Object*>(holder);
    auto* space = object ? dynamic_cast<Namespace*>(*object) : nullptr;
    if (!space) fail("cannot assign attribute on non-namespace object");
    return space->set(budget_, target.attribute, value);
  }
  auto values = elements(value);
  if (values.size() != target.parts.size())
    fail("cannot unpack " + std::to_string(values.size()) + " values into " + std::to_string(target.parts.size()));
  for (size_t i = 0; i < values.size(); i++) assign(target.parts[i], values[i]);
}

// The next element that the loop's condition, which sees what is outside of the loop, lets through.
bool Interpreter::next_of_loop(const Statement& loop, Scope& outer, const std::vector<Value>& source, size_t& position,
                               Value& out) {
  while (position < source.size()) {
    out = source[position++];
    if (!loop.condition) return true;
    Entered filter(*this, &outer);
    assign(loop.target, out);
    if (is_true(*loop.condition)) return true;
  }
  return false;
}

// What leaves `else` early concerns the loop around.
Interpreter::Flow Interpreter::exec_for(const Statement& statement, const Value& iterable, Scope& outer, int depth) {
  budget_.charge_elements(4);
  auto* loop = own(std::make_unique<Loop>(statement, outer, elements(iterable), depth));
  bool finished = false;  // an iteration: one that break or continue ended does not keep `else` away
  while (loop->advance(*this)) {
    budget_.charge(1);
    Entered iteration(*this, &outer);
    hide(statement.unset);
    scope_->set("loop", static_cast<Object*>(loop));
    assign(statement.target, loop->current);
    Flow flow = exec(statement.body);
    if (flow == Flow::loop_break) break;
    finished |= flow == Flow::normal;
  }
  if (finished) return Flow::normal;
  Entered otherwise(*this, &outer);
  hide(statement.otherwise_unset);
  return exec(statement.otherwise);
}

Value Interpreter::render_loop(const Statement& loop, const Value& iterable, Scope& scope, int depth) {
  Deeper deeper(*this);
  Capture captured(*this);
  exec_for(loop, iterable, scope, depth);
  return captured.builder().finish();
}

void Interpreter::capture_scopes() {
  for (Scope* scope = scope_; scope && !scope->captured; scope = scope->parent) scope->captured = true;
}

void Interpreter::exec_call_block(const Statement& statement) {
  capture_scopes();
  Object* caller = own(std::make_unique<Macro>(*statement.macro, *scope_));
  const Expr& expr = *statement.expr;
  Value callee = eval(*expr.parts[0]);
  Args args = eval_arguments(expr.arguments);
  args.named.emplace_back("caller", caller);
  line_ = expr.line;
  print(call(callee, args));
}

void Interpreter::bind_parameters(const MacroDefinition& macro, Args& args) {
  auto where = "macro '" + macro.name + "' ";
  size_t count = macro.parameters.size(), given = args.positional.size();
  std::vector<Value> extra;
  if (given > count) {
    if (!macro.takes_varargs) fail(where + "takes not more than " + std::to_string(count) + " argument(s)");
    extra.assign(args.positional.begin() + static_cast<std::ptrdiff_t>(count), args.positional.end());
    given = count;
  }
  auto take_named = [&](std::string_view name, Value& out) {
    auto found = std::find_if(args.named.begin(), args.named.end(), [&](auto& one) { return one.first == name; });
    if (found == args.named.end()) return false;
    out = std::move(found->second);
    args.named.erase(found);
    return true;
  };
  size_t first_default = count - macro.defaults.size();
  std::vector<size_t> defaulted;
  for (size_t i = 0; i < count; i++) {
    auto& name = macro.parameters[i];
    if (i < given)
      scope_->set(name, args.positional[i]);
    else if (Value value; take_named(name, value))
      scope_->set(name, value);
    else
      scope_->set(name, make_undefined("parameter '" + name + "' was not provided")), defaulted.push_back(i);
  }
  for (size_t i : defaulted)  // in order, and seeing the other parameters
    if (i >= first_default) scope_->set(macro.parameters[i], eval(*macro.defaults[i - first_default]));
  if (macro.takes_caller && !scope_->find("caller")) {
    Value caller = make_undefined("no caller defined");
    take_named("caller", caller);
    scope_->set("caller", caller);
  }
  if (macro.takes_varargs) scope_->set("varargs", make_sequence(Sequence::Kind::tuple, std::move(extra)));
  if (macro.takes_kwargs) {
    std::vector<std::pair<Value, Value>> rest;
    for (auto& [name, value] : args.named) rest.emplace_back(text_value(name), value);
    scope_->set("kwargs", make_dict(std::move(rest)));
  } else if (!args.named.empty()) {
    fail(where + "takes no keyword argument '" + args.named[0].first + "'");
  }
}

Value Interpreter::call_macro(const MacroDefinition& macro, Scope& closure, Args& args) {
  Deeper deeper(*this);
  Entered body(*this, &closure);
  hide(macro.unset);
  bind_parameters(macro, args);
  Flow flow;
  return capture(macro.body, flow);
}

}  // namespace penstock::jinja
