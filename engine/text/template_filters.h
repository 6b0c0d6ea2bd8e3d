// The filters, tests, functions and methods that templates call by name.
#pragma once
#include "engine/text/template_syntax.h"

namespace penstock::jinja {

FilterFunction find_filter(std::string_view name);  // null: none of that name
TestFunction find_test(std::string_view name);
bool is_unsupported_filter(std::string_view name);  // jinja2 has it, this interpreter does not

// One group of filters a file.
struct NamedFilter {
  std::string_view name;
  FilterFunction function;
};
struct NamedTest {
  std::string_view name;
  TestFunction function;
};
extern const std::vector<NamedFilter> text_filters, html_filters, layout_filters, sequence_filters, grouping_filters,
    selecting_filters, number_filters;
Value do_wordwrap(Interpreter&, const Value& subject, const Args&);

// Methods of str, dict, list and tuple. What Python's type has but this interpreter does not fails when called.
enum class Attribute { missing, method, unsafe };
Attribute find_method(const Value& subject, std::string_view name);
Value call_method(Interpreter&, const Value& subject, std::string_view name, const Args&);
Value dict_from_keys(Interpreter&, const Args&);  // dict.fromkeys
Value call_text_method(Interpreter&, const TextPtr& subject, std::string_view name, const Args&);

// range, dict, namespace, cycler, joiner, raise_exception, strftime_now. False: no function of that name.
bool find_global(Interpreter&, std::string_view name, Value& out);

// json.dumps as Hugging Face's tojson calls it.
Value to_json(Interpreter&, const Value& subject, const Args&);

// str.format and the % operator of str.
TextPtr format_braces(Interpreter&, const Text& format, const Args&);
TextPtr format_percent(Interpreter&, const Text& format, const Value& values);

// int(text, base) and float(text); false where Python raises ValueError.
bool parse_python_int(std::string_view text, int64_t base, int64_t& out);
bool parse_python_float(std::string_view text, double& out);

Value add(Interpreter&, const Value& a, const Value& b);
Value arithmetic(Interpreter&, std::string_view op, const Value& a, const Value& b);
bool contains(Interpreter&, const Value& container, const Value& element);
TextPtr escape_html(Budget& budget, const Text& text);  // as Markup, which is left as it is
TextPtr with_markup(const TextPtr& text, bool markup);

}  // namespace penstock::jinja
