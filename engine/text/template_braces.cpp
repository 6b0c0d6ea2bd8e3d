// str.format and str.format_map, as jinja2's sandbox runs them.
#include "engine/text/template_eval.h"
#include "engine/text/template_filters.h"
#include "engine/text/template_format_spec.h"

namespace penstock::jinja {
namespace {

class BraceFormat {
 public:
  BraceFormat(Interpreter& interpreter, const Args& args) : interpreter_(interpreter), args_(args) {}

  TextPtr run(const Text& format, int depth) {
    TextBuilder out(interpreter_.budget());
    const std::string& bytes = format.bytes;
    for (size_t at = 0; at < bytes.size();) {
      size_t brace = std::min(bytes.find_first_of("{}", at), bytes.size());
      out.append(format, at, brace);
      if (brace == bytes.size()) break;
      at = brace + 1;
      if (at < bytes.size() && bytes[at] == bytes[brace]) {
        out.append(format, at, at + 1);
        at++;
        continue;
      }
      if (bytes[brace] == '}') fail("single '}' encountered in format string");
      size_t close = end_of_field(bytes, at);
      field(out, format, at, close, depth);
      at = close + 1;
    }
    return out.finish(format.markup);
  }

 private:
  static size_t end_of_field(const std::string& bytes, size_t at) {
    for (int open = 1; at < bytes.size(); at++) {
      open += bytes[at] == '{' ? 1 : bytes[at] == '}' ? -1 : 0;
      if (open == 0) return at;
    }
    fail("expected '}' before end of string");
  }

  // name[!conversion][:spec], where the spec may hold fields of its own.
  void field(TextBuilder& out, const Text& format, size_t begin, size_t end, int depth) {
    if (depth == 0) fail("Max string recursion exceeded");
    std::string_view field = std::string_view(format.bytes).substr(begin, end - begin);
    size_t name_end = 0;
    for (bool in_brackets = false; name_end < field.size(); name_end++) {
      in_brackets = field[name_end] == '[' || (in_brackets && field[name_end] != ']');
      if (!in_brackets && (field[name_end] == '!' || field[name_end] == ':')) break;
      if (field[name_end] == '{') fail("unexpected '{' in field name");
    }
    Value value = lookup(field.substr(0, name_end));
    size_t at = name_end;
    if (at < field.size() && field[at] == '!') {
      if (at + 1 == field.size()) fail("end of string while looking for conversion specifier");
      value = convert(field[at + 1], value);
      at += 2;
      if (at < field.size() && field[at] != ':') fail("expected ':' after conversion specifier");
    }
    if (at < field.size()) at++;
    TextPtr spec = slice_bytes(interpreter_.budget(), format, begin + at, end);
    spec = run(*spec, depth - 1);
    if (spec->bytes.empty()) {
      TextPtr text = to_text(interpreter_.budget(), value);
      return out.append(format.markup ? *escape_html(interpreter_.budget(), *text) : *text);
    }
    if (format.markup) fail("a format of Markup with a format spec is not supported");
    if (is_undefined(value)) fail_undefined(value);
    append_formatted(out, parse_format_spec(spec->bytes), value);
  }

  Value convert(char conversion, const Value& value) {
    Budget& budget = interpreter_.budget();
    if (conversion == 's') return to_text(budget, value);
    if (conversion == 'a') return ascii_repr(budget, value);
    if (conversion != 'r') fail("unknown conversion specifier " + std::string(1, conversion));
    TextBuilder repr(budget);
    append_repr(repr, value);
    return repr.finish();
  }

  static bool is_index(std::string_view text) {
    return !text.empty() && text.size() < 10 && text.find_first_not_of("0123456789") == std::string_view::npos;
  }

  // first.attribute[item]…
  Value lookup(std::string_view path) {
    size_t at = std::min(path.find_first_of(".["), path.size());
    Value value = first(path.substr(0, at));
    while (at < path.size()) {
      bool item = path[at] == '[';
      if (!item && path[at] != '.') fail("only '.' or '[' may follow ']' in a format field");
      size_t begin = at + 1;
      at = item ? path.find(']', begin) : std::min(path.find_first_of(".[", begin), path.size());
      if (at == std::string_view::npos) fail("missing ']' in format string");
      std::string_view part = path.substr(begin, at - begin);
      if (part.empty()) fail("empty attribute in format string");
      if (item) at++;
      if (!item)
        value = interpreter_.attribute(value, part);
      else if (is_index(part))
        value = interpreter_.item(value, static_cast<int64_t>(std::stoll(std::string(part))));
      else
        value = interpreter_.item(value, text_value(part));
    }
    return value;
  }

  Value first(std::string_view name) {
    bool automatic = name.empty();
    if (automatic || is_index(name)) {
      if (numbering_ != '\0' && numbering_ != (automatic ? 'a' : 'm'))
        fail("cannot switch between manual and automatic field numbering");
      numbering_ = automatic ? 'a' : 'm';
      size_t index = automatic ? next_++ : static_cast<size_t>(std::stoll(std::string(name)));
      if (index >= args_.positional.size()) fail("a format field has no argument");
      return args_.positional[index];
    }
    for (auto& [key, value] : args_.named)
      if (key == name) return value;
    fail("str.format: no argument named '" + std::string(name) + "'");
  }

  Interpreter& interpreter_;
  const Args& args_;
  size_t next_ = 0;
  char numbering_ = '\0';  // a: {}, m: {0}
};

}  // namespace

TextPtr format_braces(Interpreter& interpreter, const Text& format, const Args& args) {
  constexpr int max_nested_fields = 2;
  return BraceFormat(interpreter, args).run(format, max_nested_fields);
}

}  // namespace penstock::jinja
