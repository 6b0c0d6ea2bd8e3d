// The filters for HTML, XML and addresses.
#include <algorithm>

#include "engine/text/template_eval.h"
#include "engine/text/template_filters.h"

namespace penstock::jinja {

TextPtr escape_html(Budget& budget, const Text& text) {
  TextBuilder out(budget);
  if (text.markup) {
    out.append(text);
    return out.finish(true);
  }
  for (size_t at = 0; at < text.bytes.size();) {
    size_t next = std::min(text.bytes.find_first_of("&<>\"'", at), text.bytes.size());
    out.append(text, at, next);
    if (next == text.bytes.size()) break;
    char c = text.bytes[next];
    out.derived(c == '&'   ? "&amp;"
                : c == '<' ? "&lt;"
                : c == '>' ? "&gt;"
                : c == '"' ? "&#34;"
                           : "&#39;",
                in_request(text, next));
    at = next + 1;
  }
  return out.finish(true);
}

TextPtr with_markup(const TextPtr& text, bool markup) {
  if (text->markup == markup) return text;
  Text copy = *text;
  copy.markup = markup;
  return std::make_shared<const Text>(std::move(copy));
}

namespace {

Value do_safe(Interpreter& interpreter, const Value& subject, const Args& args) {
  args.bind("safe", {});
  return with_markup(to_text(interpreter.budget(), subject), true);
}

Value do_escape(Interpreter& interpreter, const Value& subject, const Args& args) {
  args.bind("escape", {});
  return escape_html(interpreter.budget(), *to_text(interpreter.budget(), subject));
}

Value do_forceescape(Interpreter& interpreter, const Value& subject, const Args& args) {
  args.bind("forceescape", {});
  return escape_html(interpreter.budget(), *with_markup(to_text(interpreter.budget(), subject), false));
}

// An entity at `at`, its '&': the character it stands for, and how long it is; empty when it is none.
std::string entity_at(const std::string& bytes, size_t at, size_t& length) {
  static constexpr std::pair<std::string_view, std::string_view> named[] = {
      {"amp", "&"}, {"lt", "<"}, {"gt", ">"}, {"quot", "\""}, {"apos", "'"}, {"nbsp", "\u00A0"}};
  size_t end = at + 1;
  while (end < bytes.size() && (std::isalnum(static_cast<unsigned char>(bytes[end])) || bytes[end] == '#')) end++;
  std::string name = bytes.substr(at + 1, end - at - 1);
  if (name.empty()) return "";
  length = end - at + (end < bytes.size() && bytes[end] == ';');
  for (auto& [known, character] : named)
    if (known == name && bytes[at + length - 1] == ';') return std::string(character);
  int64_t code;
  bool hex = name.size() > 2 && (name[1] | 0x20) == 'x';
  if (name[0] == '#' && name.size() > 1 && parse_python_int(name.substr(hex ? 2 : 1), hex ? 16 : 10, code)) {
    if (code < 0x20 || (code >= 0x7F && code < 0xA0) || code > 0x10FFFF || (code >= 0xD800 && code < 0xE000))
      fail_unsupported("the entity &" + name + ";");
    std::string out;
    append_utf8(out, static_cast<int32_t>(code));
    return out;
  }
  fail_unsupported("the entity &" + name + ";");
}

// Drops comments and tags, makes every run of white space one space, and resolves entities.
Value do_striptags(Interpreter& interpreter, const Value& subject, const Args& args) {
  args.bind("striptags", {});
  Budget& budget = interpreter.budget();
  TextPtr text = to_text(budget, subject);
  for (auto [open, close] : {std::pair<std::string_view, std::string_view>{"<!--", "-->"}, {"<", ">"}}) {
    TextBuilder kept(budget);
    size_t at = 0, begin, end = 0;
    while ((begin = text->bytes.find(open, at)) != std::string::npos &&
           (end = text->bytes.find(close, begin)) != std::string::npos) {
      kept.append(*text, at, begin);
      at = end + close.size();
    }
    kept.append(*text, at, text->bytes.size());
    text = kept.finish();
  }
  Args none;
  auto words = interpreter.elements(call_text_method(interpreter, text, "split", none));
  TextBuilder out(budget);
  for (size_t i = 0; i < words.size(); i++) {
    auto& word = *as_text(words[i]);
    if (i) out.literal(" ");
    for (size_t at = 0, length = 0; at < word.bytes.size(); at += length) {
      length = std::min(word.bytes.find('&', at), word.bytes.size()) - at;
      out.append(word, at, at + length);
      if (at + length == word.bytes.size()) break;
      at += length;
      length = 1;
      std::string character = entity_at(word.bytes, at, length);
      out.derived(character.empty() ? "&" : character, in_request(word, at));
    }
  }
  return out.finish();
}

// urllib's quote: `plus` for query strings, where a space is '+' and '/' is quoted.
void append_quoted(TextBuilder& out, const Text& text, bool plus) {
  for (size_t i = 0; i < text.bytes.size(); i++) {
    char c = text.bytes[i];
    bool safe = std::isalnum(static_cast<unsigned char>(c)) && !(c & 0x80);
    safe |= c == '_' || c == '.' || c == '-' || c == '~' || (c == '/' && !plus);
    constexpr const char* hex = "0123456789ABCDEF";
    const char quoted[] = {'%', hex[static_cast<unsigned char>(c) >> 4], hex[c & 15]};
    std::string_view shown = safe ? std::string_view(&c, 1) : c == ' ' && plus ? "+" : std::string_view(quoted, 3);
    out.derived(shown, in_request(text, i));
  }
}

Value do_urlencode(Interpreter& interpreter, const Value& subject, const Args& args) {
  args.bind("urlencode", {});
  Budget& budget = interpreter.budget();
  TextBuilder out(budget);
  std::vector<std::pair<Value, Value>> pairs;
  if (auto* dict = as_dict(subject)) {
    pairs = dict->entries;
  } else if (!as_sequence(subject) && !is_undefined(subject)) {
    append_quoted(out, *to_text(budget, subject), false);
  } else {
    for (auto& element : interpreter.elements(subject)) {
      auto two = interpreter.elements(element);
      if (two.size() != 2) fail("urlencode: an element of the sequence is no pair");
      pairs.emplace_back(two[0], two[1]);
    }
  }
  for (size_t i = 0; i < pairs.size(); i++) {
    if (i) out.literal("&");
    append_quoted(out, *to_text(budget, pairs[i].first), true);
    out.literal("=");
    append_quoted(out, *to_text(budget, pairs[i].second), true);
  }
  return out.finish();
}

Value do_xmlattr(Interpreter& interpreter, const Value& subject, const Args& args) {
  auto bound = args.bind("xmlattr", {"autospace"});
  Budget& budget = interpreter.budget();
  if (is_undefined(subject)) fail_undefined(subject);
  if (!as_dict(subject)) fail("xmlattr: a mapping is required");
  TextBuilder out(budget);
  bool first = true;
  for (auto& [key, value] : as_dict(subject)->entries) {
    if (is_none(value) || is_undefined(value)) continue;
    auto* name = as_text(key);
    if (!name || name->bytes.find_first_of(" \t\n\r\f\v/>=") != std::string::npos)
      fail("xmlattr: invalid character in an attribute's name");
    if (!std::exchange(first, false) || !bound[0] || truthy(*bound[0])) out.literal(" ");
    out.append(*escape_html(budget, *name));
    out.literal("=\"");
    out.append(*escape_html(budget, *to_text(budget, value)));
    out.literal("\"");
  }
  return out.finish();
}

}  // namespace

const std::vector<NamedFilter> html_filters = {
    {"e", do_escape},       {"escape", do_escape},       {"forceescape", do_forceescape},
    {"safe", do_safe},      {"striptags", do_striptags}, {"urlencode", do_urlencode},
    {"xmlattr", do_xmlattr}};

}  // namespace penstock::jinja
