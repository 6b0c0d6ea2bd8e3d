// The tojson filter: Python's json.dumps with ensure_ascii off unless asked for.
#include <algorithm>
#include <cmath>
#include <cstdio>

#include "engine/text/template_eval.h"
#include "engine/text/template_filters.h"

namespace penstock::jinja {
namespace {

class JsonWriter {
 public:
  JsonWriter(Budget& budget, bool ascii, const Text* indent, TextPtr between, TextPtr after_key, bool sort)
      : budget_(budget),
        out_(budget),
        ascii_(ascii),
        sort_(sort),
        indent_(indent),
        between_(between),
        after_key_(after_key) {}

  void write(const Value& value, int depth) {
    if (depth > max_value_depth) fail("a value is nested too deep for JSON");
    budget_.charge(1);
    if (auto* text = as_text(value)) return write_text(*text);
    if (auto* dict = as_dict(value)) return write_dict(*dict, depth);
    auto* sequence = as_sequence(value);
    if (sequence && sequence->kind <= Sequence::Kind::tuple) return write_list(*sequence, depth);
    std::string scalar;
    if (!scalar_text(value, scalar))
      fail("an object of type " + std::string(type_name(value)) + " is not JSON serializable");
    out_.literal(scalar);
  }
  TextPtr finish() { return out_.finish(); }

 private:
  static bool scalar_text(const Value& value, std::string& out) {
    if (is_none(value)) return out = "null", true;
    if (auto* boolean = as<bool>(value)) return out = *boolean ? "true" : "false", true;
    if (auto* integer = as<int64_t>(value)) return out = std::to_string(*integer), true;
    auto* real = as<double>(value);
    if (!real) return false;
    out = std::isnan(*real) ? "NaN" : std::isinf(*real) ? (*real < 0 ? "-Infinity" : "Infinity") : float_repr(*real);
    return true;
  }

  void write_text(const Text& text) {
    out_.literal("\"");
    std::string piece;
    for (size_t at = 0, next; at < text.bytes.size(); at = next) {
      // what needs no escape goes out in one piece
      for (next = at; next < text.bytes.size() && !needs_escape(text.bytes[next]);) next++;
      if (next > at) {
        out_.append(text, at, next);
        continue;
      }
      next = at + char_bytes(static_cast<unsigned char>(text.bytes[at]));
      piece.clear();
      append_escaped(piece, code_point_at(text.bytes, at));
      out_.derived(piece, in_request(text, at));
    }
    out_.literal("\"");
  }

  bool needs_escape(char c) const {
    auto byte = static_cast<unsigned char>(c);
    return byte < 0x20 || c == '"' || c == '\\' || (ascii_ && byte >= 0x7F);
  }

  static void append_escaped(std::string& out, int32_t c) {
    static constexpr std::string_view plain = "\"\\\n\r\t\f\b", letters = "\"\\nrtfb";
    if (auto at = c < 0x80 ? plain.find(static_cast<char>(c)) : std::string_view::npos; at != std::string_view::npos) {
      out += {'\\', letters[at]};
      return;
    }
    char buffer[16];
    if (c > 0xFFFF)
      std::snprintf(buffer, sizeof buffer, "\\u%04x\\u%04x", static_cast<unsigned>(0xD800 + ((c - 0x10000) >> 10)),
                    static_cast<unsigned>(0xDC00 + ((c - 0x10000) & 0x3FF)));
    else
      std::snprintf(buffer, sizeof buffer, "\\u%04x", static_cast<unsigned>(c));
    out += buffer;
  }

  void new_line(int depth) {
    if (!indent_) return;
    out_.literal("\n");
    for (int i = 0; i < depth; i++) out_.append(*indent_);
  }

  void write_list(const Sequence& list, int depth) {
    if (list.elements.empty()) return out_.literal("[]");
    out_.literal("[");
    for (size_t i = 0; i < list.elements.size(); i++) {
      if (i) out_.append(*between_);
      new_line(depth + 1);
      write(list.elements[i], depth + 1);
    }
    new_line(depth);
    out_.literal("]");
  }

  void write_key(const Value& key) {
    std::string scalar;
    if (auto* text = as_text(key)) return write_text(*text);
    if (!scalar_text(key, scalar)) fail("a JSON key must be a string, a number, a boolean or none");
    out_.literal("\"" + scalar + "\"");
  }

  void write_dict(const Dict& dict, int depth) {
    if (dict.entries.empty()) return out_.literal("{}");
    std::vector<const std::pair<Value, Value>*> entries;
    for (auto& entry : dict.entries) entries.push_back(&entry);
    if (sort_)
      std::stable_sort(entries.begin(), entries.end(),
                       [&](auto* a, auto* b) { return compare(budget_, a->first, b->first) < 0; });
    out_.literal("{");
    for (size_t i = 0; i < entries.size(); i++) {
      if (i) out_.append(*between_);
      new_line(depth + 1);
      write_key(entries[i]->first);
      out_.append(*after_key_);
      write(entries[i]->second, depth + 1);
    }
    new_line(depth);
    out_.literal("}");
  }

  Budget& budget_;
  TextBuilder out_;
  bool ascii_, sort_;
  const Text* indent_;  // one level's; null: everything on one line
  TextPtr between_, after_key_;
};

}  // namespace

Value to_json(Interpreter& interpreter, const Value& subject, const Args& args) {
  auto bound = args.bind("tojson", {"ensure_ascii", "indent", "separators", "sort_keys"});
  TextPtr indent, between, after_key = make_text(": ");
  int64_t width;
  if (bound[1] && as_int(*bound[1], width)) {
    if (width > 1000) fail("tojson: the indent is too wide");
    indent = make_text(std::string(static_cast<size_t>(std::max<int64_t>(width, 0)), ' '));
  } else if (bound[1] && as_text(*bound[1])) {
    indent = *as<TextPtr>(*bound[1]);
  } else if (bound[1] && !is_none(*bound[1])) {
    fail("tojson: the indent must be a number or a string");
  }
  between = make_text(indent ? "," : ", ");
  if (bound[2] && !is_none(*bound[2])) {
    auto separators = interpreter.elements(*bound[2]);
    if (separators.size() != 2 || !as_text(separators[0]) || !as_text(separators[1]))
      fail("tojson: separators must be two strings");
    between = *as<TextPtr>(separators[0]);
    after_key = *as<TextPtr>(separators[1]);
  }
  JsonWriter writer(interpreter.budget(), bound[0] && truthy(*bound[0]), indent.get(), between, after_key,
                    bound[3] && truthy(*bound[3]));
  writer.write(subject, 0);
  return writer.finish();
}

}  // namespace penstock::jinja
