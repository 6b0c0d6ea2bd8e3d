// The attribute argument of map, sort, join and others: "a.b.0" means element["a"]["b"][0].
#pragma once
#include "engine/text/template_eval.h"

namespace penstock::jinja {

class Path {
 public:
  explicit Path(const Value& attribute);  // a string, an integer, or none: the element itself
  Value of(Interpreter& interpreter, Value element, const Value* fallback = nullptr) const;  // for undefined parts

 private:
  std::vector<Value> parts_;
};

Value ignore_case(Interpreter& interpreter, const Value& value);  // texts in lower case, all else as it is

// sorted(): stable, also in reverse.
struct Keyed {
  Value key, element;
};
std::vector<Value> sorted(Interpreter& interpreter, std::vector<Keyed> keyed, bool reverse);

}  // namespace penstock::jinja
