// The wordwrap filter: Python's textwrap.wrap of each line.
#include <algorithm>

#include "engine/text/template_eval.h"
#include "engine/text/template_filters.h"

namespace penstock::jinja {
namespace {

bool is_plain_space(int32_t c) { return c == ' ' || (c >= '\t' && c <= '\r'); }
bool is_letter(int32_t c) { return is_name_char(c) && !is_decimal(c); }

struct Wrapping {
  int64_t width;
  bool breaks_long_words, breaks_on_hyphens;
};

// One line's characters, and where a line may break.
class Line {
 public:
  Line(const Text& text, const Wrapping& wrapping) : text_(text), wrapping_(wrapping) {
    for (size_t at = 0; at < text.bytes.size(); at += char_bytes(static_cast<unsigned char>(text.bytes[at]))) {
      starts_.push_back(at);
      characters_.push_back(code_point_at(text.bytes, at));
    }
    starts_.push_back(text.bytes.size());
  }

  // Lines as ranges of characters, without the white space at a break.
  std::vector<Range> wrap() const {
    std::vector<Range> lines, chunks = this->chunks();
    std::reverse(chunks.begin(), chunks.end());
    while (!chunks.empty()) {
      if (!lines.empty() && blank(chunks.back())) chunks.pop_back();
      std::vector<Range> line;
      int64_t used = 0;
      for (; !chunks.empty() && used + size(chunks.back()) <= wrapping_.width; chunks.pop_back()) {
        used += size(chunks.back());
        line.push_back(chunks.back());
      }
      if (!chunks.empty() && size(chunks.back()) > wrapping_.width) break_long_word(chunks, line, used);
      if (!line.empty() && blank(line.back())) line.pop_back();
      if (!line.empty()) lines.push_back({line.front().begin, line.back().end});
    }
    return lines;
  }

  void append(TextBuilder& out, Range range) const { out.append(text_, starts_[range.begin], starts_[range.end]); }

 private:
  static int64_t size(Range range) { return static_cast<int64_t>(range.end - range.begin); }
  int32_t at(size_t i) const { return i < characters_.size() ? characters_[i] : ' '; }
  bool blank(Range range) const {
    return std::all_of(characters_.begin() + static_cast<std::ptrdiff_t>(range.begin),
                       characters_.begin() + static_cast<std::ptrdiff_t>(range.end), is_space);
  }

  void break_long_word(std::vector<Range>& chunks, std::vector<Range>& line, int64_t used) const {
    Range& chunk = chunks.back();
    if (!wrapping_.breaks_long_words) {
      if (!line.empty()) return;
      line.push_back(chunk);
      return chunks.pop_back();
    }
    size_t end = chunk.begin + static_cast<size_t>(wrapping_.width - used);
    if (wrapping_.breaks_on_hyphens) {
      size_t hyphen = end, first = chunk.begin;
      while (hyphen > first && characters_[hyphen - 1] != '-') hyphen--;
      while (first < hyphen && characters_[first] == '-') first++;
      if (hyphen > chunk.begin + 1 && first + 1 < hyphen) end = hyphen;
    }
    line.push_back({chunk.begin, end});
    chunk.begin = end;
  }

  std::vector<Range> chunks() const {
    std::vector<Range> out;
    for (size_t begin = 0, end; begin < characters_.size(); begin = end) {
      end = begin + 1;
      if (is_plain_space(characters_[begin])) {
        while (end < characters_.size() && is_plain_space(characters_[end])) end++;
      } else if (!wrapping_.breaks_on_hyphens) {
        while (end < characters_.size() && !is_plain_space(characters_[end])) end++;
      } else if (dash_between_words(begin)) {
        while (at(end) == '-') end++;
      } else if (!is_space(characters_[begin])) {
        end = end_of_word(begin);
      }
      out.push_back({begin, end});
    }
    return out;
  }

  // Two hyphens or more between a word and the next, as a dash is typed.
  bool dash_between_words(size_t i) const {
    if (i == 0 || at(i) != '-' || at(i + 1) != '-') return false;
    int32_t before = at(i - 1);
    bool word =
        is_name_char(before) ||
        (before < 0x80 && std::string_view("!\"'&.,?").find(static_cast<char>(before)) != std::string_view::npos);
    while (at(i) == '-') i++;
    return word && is_name_char(at(i));
  }

  bool letter(size_t i, size_t back) const { return i >= back && is_letter(at(i - back)); }
  bool hyphen_inside_word(size_t i) const {  // at(i) is the hyphen
    bool two_letters = letter(i, 1) && (letter(i, 2) || (i >= 2 && at(i - 2) == '-' && letter(i, 3)));
    return two_letters && is_letter(at(i + 1)) && (is_letter(at(i + 2)) || (at(i + 2) == '-' && is_letter(at(i + 3))));
  }

  size_t end_of_word(size_t begin) const {
    for (size_t i = begin + 1; i < characters_.size(); i++) {
      if (at(i) == '-' && hyphen_inside_word(i)) return i + 1;
      if (is_space(at(i)) || dash_between_words(i)) return i;
    }
    return characters_.size();
  }

  const Text& text_;
  const Wrapping& wrapping_;
  std::vector<size_t> starts_;  // byte offsets, and the end
  std::vector<int32_t> characters_;
};

}  // namespace

Value do_wordwrap(Interpreter& interpreter, const Value& subject, const Args& args) {
  auto bound = args.bind("wordwrap", {"width", "break_long_words", "wrapstring", "break_on_hyphens"});
  Budget& budget = interpreter.budget();
  Wrapping wrapping{79, !bound[1] || truthy(*bound[1]), !bound[3] || truthy(*bound[3])};
  if (bound[0] && !as_int(*bound[0], wrapping.width)) fail("wordwrap: the width must be an integer");
  if (bound[2] && !is_none(*bound[2]) && !as_text(*bound[2])) fail("wordwrap: the wrapstring must be a string");
  TextPtr between = bound[2] && as_text(*bound[2]) ? *as<TextPtr>(*bound[2]) : make_text("\n");
  if (is_undefined(subject)) fail_undefined(subject);
  if (!as_text(subject)) fail("wordwrap: a string is required, not '" + std::string(type_name(subject)) + "'");
  TextBuilder out(budget);
  bool first = true;
  for (auto& line : interpreter.elements(call_text_method(interpreter, *as<TextPtr>(subject), "splitlines", {}))) {
    if (wrapping.width <= 0) fail("wordwrap: invalid width");
    if (!std::exchange(first, false)) out.append(*between);
    budget.charge(static_cast<int64_t>(as_text(line)->bytes.size()));
    Line wrapped(*as_text(line), wrapping);
    bool first_part = true;
    for (Range part : wrapped.wrap()) {
      if (!std::exchange(first_part, false)) out.append(*between);
      wrapped.append(out, part);
    }
  }
  return out.finish();
}

}  // namespace penstock::jinja
