// The methods of Python's str, in groups of one idea a file.
#pragma once
#include "engine/text/template_filters.h"

namespace penstock::jinja {

struct NamedTextMethod {
  std::string_view name;
  Value (*function)(Interpreter&, const TextPtr&, const Args&);
  bool keywords = false;  // Python takes its arguments by name, too
};
extern const std::vector<NamedTextMethod> text_part_methods, text_form_methods;

const Text& text_argument(const Value& value, std::string_view callee);
int64_t integer_or(const Value* value, int64_t fallback);

}  // namespace penstock::jinja
