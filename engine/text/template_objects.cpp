#include "engine/text/template_objects.h"

#include <algorithm>

#include "engine/text/template_filters.h"

namespace penstock::jinja {

bool Namespace::attribute(Interpreter&, std::string_view name, Value& out) {
  for (auto& [key, value] : attributes)
    if (key == name) return out = value, true;
  return false;
}

void Namespace::append_repr(TextBuilder& out, int depth) const {
  out.literal("<Namespace {");
  for (size_t i = 0; i < attributes.size(); i++) {
    out.literal(i ? ", " : "");
    penstock::jinja::append_repr(out, text_value(attributes[i].first), depth + 1);
    out.literal(": ");
    penstock::jinja::append_repr(out, attributes[i].second, depth + 1);
  }
  out.literal("}>");
}

// Hugging Face's namespace refuses names that could reach Python's internals.
void Namespace::set(Budget& budget, std::string_view name, Value value) {
  budget.charge(static_cast<int64_t>(attributes.size()));
  if (name.starts_with('_')) fail("a namespace cannot store the attribute '" + std::string(name) + "'");
  for (auto& [key, old] : attributes)
    if (key == name) {
      old = std::move(value);
      return;
    }
  attributes.emplace_back(name, std::move(value));
}

bool Macro::attribute(Interpreter&, std::string_view name, Value& out) {
  if (name == "name") return out = definition.name.empty() ? Value(None{}) : text_value(definition.name), true;
  if (name == "caller") return out = definition.takes_caller, true;
  if (name == "catch_kwargs") return out = definition.takes_kwargs, true;
  if (name == "catch_varargs") return out = definition.takes_varargs, true;
  if (name == "arguments") {
    std::vector<Value> names;
    for (auto& parameter : definition.parameters) names.push_back(text_value(parameter));
    return out = make_sequence(Sequence::Kind::tuple, std::move(names)), true;
  }
  return false;
}

bool Loop::peek(Interpreter& interpreter) {
  if (after) return true;
  Value next;
  if (filtered || !statement.condition) {
    if (position == source.size()) return false;
    next = source[position++];
  } else if (!interpreter.next_of_loop(statement, scope, source, position, next)) {
    return false;
  }
  after = std::move(next);
  return true;
}

bool Loop::advance(Interpreter& interpreter) {
  if (!peek(interpreter)) return false;
  previous = std::move(current);
  current = std::move(*after);
  after.reset();
  index0++;
  return true;
}

void Loop::append_repr(TextBuilder& out, int) const {
  if (statement.condition && !length) fail_unsupported("the text of a loop with a condition");
  int64_t all = length ? *length : static_cast<int64_t>(source.size());
  out.literal("<LoopContext " + std::to_string(index0 + 1) + "/" + std::to_string(all) + ">");
}

int64_t Loop::count(Interpreter& interpreter) {
  if (length) return *length;
  if (!statement.condition) return *(length = static_cast<int64_t>(source.size()));
  std::vector<Value> remaining;
  for (Value next; interpreter.next_of_loop(statement, scope, source, position, next);) remaining.push_back(next);
  length = static_cast<int64_t>(remaining.size()) + index0 + 1 + (after ? 1 : 0);
  // The condition has been evaluated for all: what is left to visit is exactly `remaining`.
  source = std::move(remaining);
  position = 0;
  filtered = true;
  return *length;
}

namespace {

Value loop_cycle(Interpreter&, const Value& bound, const Args& args) {
  auto& loop = static_cast<Loop&>(**as<Object*>(bound));
  if (args.positional.empty()) fail("loop.cycle: no items for cycling given");
  return args.positional[static_cast<size_t>(loop.index0) % args.positional.size()];
}

Value loop_changed(Interpreter& interpreter, const Value& bound, const Args& args) {
  auto& loop = static_cast<Loop&>(**as<Object*>(bound));
  bool same =
      loop.last_changed && equal(interpreter.budget(), make_list(*loop.last_changed), make_list(args.positional));
  if (!same) loop.last_changed = args.positional;
  return !same;
}

Value cycler_next(Interpreter&, const Value& bound, const Args& args) {
  args.bind("next", {});
  auto& cycler = static_cast<Cycler&>(**as<Object*>(bound));
  Value current = cycler.elements[cycler.position];
  cycler.position = (cycler.position + 1) % cycler.elements.size();
  return current;
}

Value cycler_reset(Interpreter&, const Value& bound, const Args& args) {
  args.bind("reset", {});
  static_cast<Cycler&>(**as<Object*>(bound)).position = 0;
  return None{};
}

}  // namespace

bool Loop::attribute(Interpreter& interpreter, std::string_view name, Value& out) {
  auto function = [&](Function::Body body) {
    out = interpreter.own(std::make_unique<Function>(std::string(name), body, Value(static_cast<Object*>(this))));
  };
  if (name == "index0")
    out = index0;
  else if (name == "index")
    out = index0 + 1;
  else if (name == "first")
    out = index0 == 0;
  else if (name == "last")
    out = !peek(interpreter);
  else if (name == "length")
    out = count(interpreter);
  else if (name == "revindex")
    out = count(interpreter) - index0;
  else if (name == "revindex0")
    out = count(interpreter) - index0 - 1;
  else if (name == "depth")
    out = int64_t{depth0} + 1;
  else if (name == "depth0")
    out = int64_t{depth0};
  else if (name == "previtem")
    out = index0 == 0 ? make_undefined("there is no previous item") : previous;
  else if (name == "nextitem")
    out = peek(interpreter) ? *after : make_undefined("there is no next item");
  else if (name == "cycle")
    function(loop_cycle);
  else if (name == "changed")
    function(loop_changed);
  else
    return false;
  return true;
}

Value Loop::call(Interpreter& interpreter, Args& args) {
  if (!statement.recursive) fail("the loop must have the 'recursive' marker to be called recursively");
  return interpreter.render_loop(statement, *args.bind("loop", {"iterable"}, 1)[0], scope, depth0 + 1);
}

Value BoundMethod::call(Interpreter& interpreter, Args& args) { return call_method(interpreter, subject, name, args); }

bool Cycler::attribute(Interpreter& interpreter, std::string_view name, Value& out) {
  Value self = static_cast<Object*>(this);
  if (name == "current")
    out = elements[position];
  else if (name == "next")
    out = interpreter.own(std::make_unique<Function>("next", cycler_next, self));
  else if (name == "reset")
    out = interpreter.own(std::make_unique<Function>("reset", cycler_reset, self));
  else
    return false;
  return true;
}

Value Joiner::call(Interpreter&, Args& args) {
  args.bind("joiner", {});
  return std::exchange(used, true) ? separator : text_value("");
}

}  // namespace penstock::jinja
