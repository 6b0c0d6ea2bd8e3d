// The methods of Python's str that look for text in it, part it and put it together.
#include <algorithm>

#include "engine/text/template_eval.h"
#include "engine/text/template_text_methods.h"

namespace penstock::jinja {
namespace {

template <bool left, bool right>
Value strip(Interpreter& interpreter, const TextPtr& text, const Args& args) {
  auto bound = args.bind("strip", {"chars"});
  const std::string& bytes = text->bytes;
  const std::string* chars = bound[0] && !is_none(*bound[0]) ? &text_argument(*bound[0], "strip").bytes : nullptr;
  auto strips = [&](size_t begin, size_t end) {
    if (!chars) return is_space(code_point_at(bytes, begin));
    return chars->find(bytes.substr(begin, end - begin)) != std::string::npos;
  };
  size_t begin = 0, end = bytes.size();
  while (left && begin < end) {
    size_t next = begin + char_bytes(static_cast<unsigned char>(bytes[begin]));
    if (!strips(begin, next)) break;
    begin = next;
  }
  while (right && begin < end) {
    size_t last = end - 1;
    while ((bytes[last] & 0xC0) == 0x80) last--;
    if (!strips(last, end)) break;
    end = last;
  }
  return slice_bytes(interpreter.budget(), *text, begin, end);
}

// str.split without a separator: runs of white space part, and none is left at the ends.
std::vector<Range> split_on_space(std::string_view bytes, int64_t limit, bool from_right) {
  std::vector<Range> words;
  size_t at = 0;
  for (size_t next; at < bytes.size(); at = next) {
    next = at + char_bytes(static_cast<unsigned char>(bytes[at]));
    bool starts = words.empty() || words.back().end < at;
    if (is_space(code_point_at(bytes, at))) continue;
    if (starts)
      words.push_back({at, next});
    else
      words.back().end = next;
  }
  auto count = static_cast<int64_t>(words.size());
  if (limit < 0 || count <= limit) return words;
  if (from_right) {
    words.erase(words.begin(), words.begin() + (count - limit - 1));
    words[0].begin = 0;
  } else {
    words.resize(static_cast<size_t>(limit) + 1);
    words.back().end = bytes.size();
  }
  return words;
}

std::vector<Range> split_on(Budget& budget, std::string_view bytes, std::string_view separator, int64_t limit,
                            bool from_right) {
  std::vector<Range> parts;
  size_t begin = 0, end = bytes.size();
  if (!from_right) {
    for (size_t at; limit != 0 && (at = find_text(bytes, separator, begin)) != std::string_view::npos; limit--) {
      parts.push_back({begin, at});
      begin = at + separator.size();
    }
    parts.push_back({begin, end});
    return parts;
  }
  for (; limit != 0 && end >= separator.size(); limit--) {
    size_t at = rfind_text(budget, bytes.substr(0, end), separator);
    if (at == std::string_view::npos) break;
    parts.push_back({at + separator.size(), end});
    end = at;
  }
  parts.push_back({0, end});
  std::reverse(parts.begin(), parts.end());
  return parts;
}

Value list_of(Interpreter& interpreter, const Text& text, const std::vector<Range>& parts) {
  std::vector<Value> elements;
  interpreter.budget().charge_elements(parts.size());
  for (auto& part : parts) elements.push_back(slice_bytes(interpreter.budget(), text, part.begin, part.end));
  return make_list(std::move(elements));
}

template <bool from_right>
Value split(Interpreter& interpreter, const TextPtr& text, const Args& args) {
  auto bound = args.bind("split", {"sep", "maxsplit"});
  int64_t limit = integer_or(bound[1], -1);
  if (!bound[0] || is_none(*bound[0]))
    return list_of(interpreter, *text, split_on_space(text->bytes, limit, from_right));
  const std::string& separator = text_argument(*bound[0], "split").bytes;
  if (separator.empty()) fail("empty separator");
  return list_of(interpreter, *text, split_on(interpreter.budget(), text->bytes, separator, limit, from_right));
}

Value splitlines(Interpreter& interpreter, const TextPtr& text, const Args& args) {
  auto bound = args.bind("splitlines", {"keepends"});
  bool keep = bound[0] && truthy(*bound[0]);
  std::vector<Range> lines;
  const std::string& bytes = text->bytes;
  size_t begin = 0;
  for (size_t at = 0, next; at < bytes.size(); at = next) {
    next = at + char_bytes(static_cast<unsigned char>(bytes[at]));
    if (!is_line_break(code_point_at(bytes, at))) continue;
    if (bytes[at] == '\r' && next < bytes.size() && bytes[next] == '\n') next++;
    lines.push_back({begin, keep ? next : at});
    begin = next;
  }
  if (begin < bytes.size()) lines.push_back({begin, bytes.size()});
  return list_of(interpreter, *text, lines);
}

// The part of `text` between the code points that start and end name, as a byte range; false when it is empty
// in the way that Python finds nothing in, not even "".
bool window(const Text& text, const Value* start, const Value* end, Range& out) {
  out = {0, text.bytes.size()};
  if (!start && !end) return true;
  int64_t size = count_code_points(text.bytes);
  auto clamp = [&](int64_t index) { return std::max<int64_t>(index < 0 ? index + size : index, 0); };
  int64_t from = clamp(integer_or(start, 0)), to = std::min(clamp(integer_or(end, size)), size);
  if (from > to) return false;
  out = {byte_of_code_point(text.bytes, from), byte_of_code_point(text.bytes, to)};
  return true;
}

template <bool at_start>
Value starts_or_ends(Interpreter&, const TextPtr& text, const Args& args) {
  auto bound = args.bind(at_start ? "startswith" : "endswith", {"prefix", "start", "end"}, 1);
  Range range;
  if (!window(*text, bound[1], bound[2], range)) return false;
  std::string_view view = std::string_view(text->bytes).substr(range.begin, range.end - range.begin);
  auto matches = [&](const Value& affix) {
    const std::string& bytes = text_argument(affix, at_start ? "startswith" : "endswith").bytes;
    return at_start ? view.starts_with(bytes) : view.ends_with(bytes);
  };
  auto* tuple = as_sequence(*bound[0]);
  if (!tuple || tuple->kind != Sequence::Kind::tuple) return matches(*bound[0]);
  return std::any_of(tuple->elements.begin(), tuple->elements.end(), matches);
}

template <bool from_right, bool required>
Value find(Interpreter& interpreter, const TextPtr& text, const Args& args) {
  auto bound = args.bind("find", {"sub", "start", "end"}, 1);
  const std::string& wanted = text_argument(*bound[0], "find").bytes;
  Range range;
  size_t at = std::string_view::npos;
  if (window(*text, bound[1], bound[2], range)) {
    auto view = std::string_view(text->bytes).substr(0, range.end);
    at = from_right ? rfind_text(interpreter.budget(), view, wanted) : find_text(view, wanted, range.begin);
    if (at != std::string_view::npos && at < range.begin) at = std::string_view::npos;
  }
  if (at == std::string_view::npos) {
    if (required) fail("substring not found");
    return int64_t{-1};
  }
  return count_code_points(std::string_view(text->bytes).substr(0, at));
}

Value count(Interpreter&, const TextPtr& text, const Args& args) {
  auto bound = args.bind("count", {"sub", "start", "end"}, 1);
  const std::string& wanted = text_argument(*bound[0], "count").bytes;
  Range range;
  if (!window(*text, bound[1], bound[2], range)) return int64_t{0};
  auto view = std::string_view(text->bytes).substr(range.begin, range.end - range.begin);
  if (wanted.empty()) return count_code_points(view) + 1;
  int64_t found = 0;
  for (size_t at = 0; (at = find_text(view, wanted, at)) != std::string_view::npos; at += wanted.size()) found++;
  return found;
}

Value replace(Interpreter& interpreter, const TextPtr& text, const Args& args) {
  auto bound = args.bind("replace", {"old", "new", "count"}, 2);
  auto argument = [&](const Value& value) -> TextPtr {
    const Text& given = text_argument(value, "replace");
    return text->markup ? escape_html(interpreter.budget(), given) : std::make_shared<const Text>(given);
  };
  TextPtr old = argument(*bound[0]), fresh = argument(*bound[1]);
  int64_t left = integer_or(bound[2], -1);
  const std::string& bytes = text->bytes;
  TextBuilder out(interpreter.budget());
  size_t at = 0;
  if (old->bytes.empty()) {
    for (; left != 0; left--) {
      out.append(*fresh);
      if (at == bytes.size()) return out.finish(text->markup);
      size_t next = at + char_bytes(static_cast<unsigned char>(bytes[at]));
      out.append(*text, at, next);
      at = next;
    }
  } else {
    for (size_t found; left != 0 && (found = find_text(bytes, old->bytes, at)) != std::string::npos; left--) {
      out.append(*text, at, found);
      out.append(*fresh);
      at = found + old->bytes.size();
    }
  }
  out.append(*text, at, bytes.size());
  return out.finish(text->markup);
}

Value join(Interpreter& interpreter, const TextPtr& text, const Args& args) {
  auto elements = interpreter.elements(*args.bind("join", {"iterable"}, 1)[0]);
  TextBuilder out(interpreter.budget());
  for (size_t i = 0; i < elements.size(); i++) {
    if (i) out.append(*text);
    auto& element = text_argument(elements[i], "join");
    out.append(text->markup ? *escape_html(interpreter.budget(), element) : element);
  }
  return out.finish(text->markup);
}

template <bool prefix>
Value remove_affix(Interpreter& interpreter, const TextPtr& text, const Args& args) {
  const std::string& affix = text_argument(*args.bind("removeprefix", {"affix"}, 1)[0], "removeprefix").bytes;
  size_t begin = 0, end = text->bytes.size();
  if (prefix && text->bytes.starts_with(affix)) begin = affix.size();
  if (!prefix && text->bytes.ends_with(affix)) end -= affix.size();
  return slice_bytes(interpreter.budget(), *text, begin, end);
}

template <bool from_right>
Value partition(Interpreter& interpreter, const TextPtr& text, const Args& args) {
  const std::string& separator = text_argument(*args.bind("partition", {"sep"}, 1)[0], "partition").bytes;
  if (separator.empty()) fail("empty separator");
  Budget& budget = interpreter.budget();
  size_t size = text->bytes.size();
  size_t at = from_right ? rfind_text(budget, text->bytes, separator) : find_text(text->bytes, separator);
  size_t first = at, second = at + separator.size();
  if (at == std::string::npos) first = second = from_right ? 0 : size;
  return make_sequence(Sequence::Kind::tuple,
                       {slice_bytes(budget, *text, 0, first), slice_bytes(budget, *text, first, second),
                        slice_bytes(budget, *text, second, size)});
}

}  // namespace

const std::vector<NamedTextMethod> text_part_methods = {{"count", count},
                                                        {"endswith", starts_or_ends<false>},
                                                        {"find", find<false, false>},
                                                        {"index", find<false, true>},
                                                        {"join", join},
                                                        {"lstrip", strip<true, false>},
                                                        {"partition", partition<false>},
                                                        {"removeprefix", remove_affix<true>},
                                                        {"removesuffix", remove_affix<false>},
                                                        {"replace", replace},
                                                        {"rfind", find<true, false>},
                                                        {"rindex", find<true, true>},
                                                        {"rpartition", partition<true>},
                                                        {"rsplit", split<true>, true},
                                                        {"rstrip", strip<false, true>},
                                                        {"split", split<false>, true},
                                                        {"splitlines", splitlines, true},
                                                        {"startswith", starts_or_ends<true>},
                                                        {"strip", strip<true, true>}};

}  // namespace penstock::jinja
