// Strings of a chat template: UTF-8 text that remembers which of its bytes came from the request, the budget that
// bounds what a template may make, and the code point arithmetic that Python's str needs.
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "engine/text/chat_template.h"

namespace penstock::jinja {

using Range = ChatTemplate::Range;

struct Text {
  std::string bytes;           // valid UTF-8
  std::vector<Range> request;  // bytes that came from the request: ascending, disjoint, not touching
  bool markup = false;         // markupsafe's Markup: `+` with a plain string escapes that string
};
using TextPtr = std::shared_ptr<const Text>;

bool in_request(const Text& text, size_t byte);

// What one rendering may still spend. Every loop over data charges it, so no template runs for long.
class Budget {
 public:
  explicit Budget(const ChatTemplate::Limits& limits);
  void charge(int64_t steps);
  void charge_elements(size_t made) { charge(static_cast<int64_t>(made) * 4); }  // that stay in memory
  void charge_bytes(size_t made);                                                // counts over the whole rendering
  void check_length(size_t bytes) const;                                         // of one string
  size_t max_text_bytes() const { return max_text_bytes_; }

 private:
  int64_t steps_left_, bytes_left_;
  size_t max_text_bytes_;
};

// Appends pieces and keeps their provenance.
class TextBuilder {
 public:
  explicit TextBuilder(Budget& budget) : budget_(&budget) {}
  void literal(std::string_view bytes) { derived(bytes, false); }
  void derived(std::string_view bytes, bool from_request);
  void append(const Text& text) { append(text, 0, text.bytes.size()); }
  void append(const Text& text, size_t begin, size_t end);  // byte offsets
  TextPtr finish(bool markup = false);
  Text take();

 private:
  void mark(size_t begin, size_t end);
  Budget* budget_;
  Text text_;
};

TextPtr make_text(std::string_view bytes, bool from_request = false);
TextPtr slice_bytes(Budget& budget, const Text& text, size_t begin, size_t end);  // keeps markup

// UTF-8.
size_t char_bytes(unsigned char lead);                      // length of the character that starts with `lead`
int32_t code_point_at(std::string_view text, size_t byte);  // `byte` is at a character's start
void append_utf8(std::string& out, int32_t code_point);
int64_t count_code_points(std::string_view text);
size_t byte_of_code_point(std::string_view text, int64_t index);  // clamped to the end

// find and rfind in bounded time: a template chooses both texts.
size_t find_text(std::string_view text, std::string_view wanted, size_t from = 0);
size_t rfind_text(Budget& budget, std::string_view text, std::string_view wanted);

// Python's str predicates: template_char_classes.cpp.
bool is_space(int32_t code_point);
bool is_line_break(int32_t code_point);
bool is_printable(int32_t code_point);
bool is_name_char(int32_t code_point);  // \w
bool is_cased(int32_t code_point);
bool is_upper(int32_t code_point);
bool is_lower(int32_t code_point);
bool is_title(int32_t code_point);
bool is_alpha(int32_t code_point);
bool is_decimal(int32_t code_point);
bool is_digit(int32_t code_point);
bool is_numeric(int32_t code_point);
bool is_alphanumeric(int32_t code_point);
std::string_view trim_left(std::string_view text);
std::string_view trim_right(std::string_view text);

// Python's str.upper, lower, title, capitalize and swapcase.
enum class Case { upper, lower, title, capitalize, swap };
TextPtr change_case(Budget& budget, const Text& text, Case to);

}  // namespace penstock::jinja
