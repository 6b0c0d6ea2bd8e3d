// Which names are bound where. jinja2 decides that when it compiles: a name that a block assigns before it reads it,
// and that no block around it mentions, is the block's own from its start, so that reading it early finds nothing
// rather than the variable of that name. An assignment inside `if` leaves the variable visible.
#include <unordered_set>

#include "engine/text/template_parser.h"

namespace penstock::jinja {
namespace {

class Block {
 public:
  Block(const Source& source, const Block* outer, bool in_loop) : source_(source), outer_(outer), in_loop_(in_loop) {}

  void declare(const std::string& name) { seen_.insert(name); }
  void declare(const Target& target) {
    if (target.kind == Target::Kind::attribute) return load(target.name);
    if (target.kind == Target::Kind::name) declare(target.name);
    for (auto& part : target.parts) declare(part);
  }

  void load(const ExprPtr& expr) {
    if (!expr) return;
    if (expr->kind == Expr::Kind::name) load(expr->text);
    for (auto& part : expr->parts) load(part);
    for (auto& value : expr->arguments.positional) load(value);
    for (auto& [name, value] : expr->arguments.named) load(value);
    load(expr->arguments.star);
    load(expr->arguments.star_star);
  }

  void walk(const Body& body, bool conditional = false) {
    for (auto& statement : body) walk(statement, conditional);
  }

  // Once this block has been walked whole: the blocks in it.
  void enter(Body& body) {
    for (auto& statement : body) enter(statement);
  }

  Unset unset;

 private:
  bool known(const std::string& name) const { return seen_.count(name) != 0 || (outer_ && outer_->known(name)); }
  void load(const std::string& name) {
    if (!known(name)) seen_.insert(name);
  }

  void store(const Target& target, bool conditional) {
    if (target.kind == Target::Kind::attribute) return load(target.name);
    if (target.kind == Target::Kind::name) {
      if (in_loop_ && target.name == "loop") source_.fail(target.line, "can't assign to the special variable 'loop'");
      store(target.name, conditional);
    }
    for (auto& part : target.parts) store(part, conditional);
  }

  void store(const std::string& name, bool conditional) {
    if (!conditional && !known(name)) unset.emplace_back(name, make_undefined("'" + name + "' is undefined"));
    seen_.insert(name);
  }

  void walk(const Statement& statement, bool conditional) {
    using Kind = Statement::Kind;
    switch (statement.kind) {
      case Kind::set:
        load(statement.expr);
        return store(statement.target, conditional);
      case Kind::set_block:
        return store(statement.target, conditional);
      case Kind::macro:
        return store(statement.macro->name, conditional);
      case Kind::if_chain:
        for (auto& branch : statement.branches) {
          load(branch.condition);
          walk(branch.body, true);
        }
        return walk(statement.otherwise, true);
      case Kind::with_block:
        for (auto& value : statement.exprs) load(value);
        return;
      default:
        return load(statement.expr);
    }
  }

  void enter(Statement& statement) {
    using Kind = Statement::Kind;
    Block inner(source_, this, in_loop_ || statement.kind == Kind::for_loop);
    switch (statement.kind) {
      case Kind::if_chain:
        for (auto& branch : statement.branches) enter(branch.body);
        return enter(statement.otherwise);
      case Kind::for_loop:
        inner.enter_loop(statement);
        break;
      case Kind::macro:
      case Kind::call_block:
      case Kind::generation:
        for (auto& name : statement.macro->parameters) inner.declare(name);
        for (auto& value : statement.macro->defaults) inner.load(value);
        inner.finish(statement.macro->body, statement.macro->unset);
        break;
      case Kind::filter_block:
      case Kind::set_block:
      case Kind::with_block:
        for (auto& target : statement.targets) inner.declare(target);
        inner.finish(statement.body, statement.unset);
        break;
      default:
        break;
    }
  }

  void enter_loop(Statement& loop) {
    Block otherwise(source_, outer_, true);
    if (assigns_loop(loop.target)) source_.fail(loop.line, "can't assign to the special variable 'loop'");
    declare("loop");
    declare(loop.target);
    finish(loop.body, loop.unset);
    otherwise.finish(loop.otherwise, loop.otherwise_unset);
  }

  static bool assigns_loop(const Target& target) {
    if (target.kind == Target::Kind::name) return target.name == "loop";
    for (auto& part : target.parts)
      if (assigns_loop(part)) return true;
    return false;
  }

  void finish(Body& body, Unset& out) {
    walk(body);
    enter(body);
    out = std::move(unset);
  }

  const Source& source_;
  const Block* outer_;
  bool in_loop_;
  std::unordered_set<std::string> seen_;
};

}  // namespace

void find_unset_names(const Source& source, Template& whole) {
  Block top(source, nullptr, false);
  top.walk(whole.body);
  top.enter(whole.body);
  whole.unset = std::move(top.unset);
}

}  // namespace penstock::jinja
