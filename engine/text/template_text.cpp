#include "engine/text/template_text.h"

#include <utf8proc.h>

#include <algorithm>
#include <cstring>

namespace penstock::jinja {

bool in_request(const Text& text, size_t byte) {
  auto after = std::upper_bound(text.request.begin(), text.request.end(), byte,
                                [](size_t at, const Range& range) { return at < range.begin; });
  return after != text.request.begin() && byte < std::prev(after)->end;
}

Budget::Budget(const ChatTemplate::Limits& limits)
    : steps_left_(limits.max_steps),
      bytes_left_(limits.max_output_bytes > INT64_MAX / 16 ? INT64_MAX : limits.max_output_bytes * 16),
      max_text_bytes_(static_cast<size_t>(std::max<int64_t>(limits.max_output_bytes, 0))) {}

void Budget::charge(int64_t steps) {
  steps_left_ -= steps;
  if (steps_left_ < 0) throw TemplateError("the template ran for too many steps");
}

void Budget::charge_bytes(size_t made) {
  charge(static_cast<int64_t>(made / 1024));
  bytes_left_ -= static_cast<int64_t>(made);
  if (bytes_left_ < 0) throw TemplateError("the template made too much text");
}

void Budget::check_length(size_t bytes) const {
  if (bytes > max_text_bytes_)
    throw TemplateError("the template made a text longer than " + std::to_string(max_text_bytes_) + " bytes");
}

void TextBuilder::mark(size_t begin, size_t end) {
  if (begin == end) return;
  if (!text_.request.empty() && text_.request.back().end == begin)
    text_.request.back().end = end;
  else
    text_.request.push_back({begin, end});
}

void TextBuilder::derived(std::string_view bytes, bool from_request) {
  budget_->check_length(text_.bytes.size() + bytes.size());
  size_t begin = text_.bytes.size();
  text_.bytes += bytes;
  if (from_request) mark(begin, text_.bytes.size());
}

void TextBuilder::append(const Text& text, size_t begin, size_t end) {
  size_t base = text_.bytes.size();
  derived(std::string_view(text.bytes).substr(begin, end - begin), false);
  auto range = std::lower_bound(text.request.begin(), text.request.end(), begin,
                                [](const Range& r, size_t at) { return r.end <= at; });
  for (; range != text.request.end() && range->begin < end; ++range)
    mark(base + std::max(range->begin, begin) - begin, base + std::min(range->end, end) - begin);
}

Text TextBuilder::take() {
  budget_->charge_bytes(text_.bytes.size());
  return std::move(text_);
}

TextPtr TextBuilder::finish(bool markup) {
  Text text = take();
  text.markup = markup;
  return std::make_shared<const Text>(std::move(text));
}

TextPtr make_text(std::string_view bytes, bool from_request) {
  Text text{std::string(bytes), {}, false};
  if (from_request && !bytes.empty()) text.request.push_back({0, bytes.size()});
  return std::make_shared<const Text>(std::move(text));
}

TextPtr slice_bytes(Budget& budget, const Text& text, size_t begin, size_t end) {
  TextBuilder builder(budget);
  if (begin < end) builder.append(text, begin, end);
  return builder.finish(text.markup);
}

size_t char_bytes(unsigned char lead) { return lead < 0x80 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4; }

int32_t code_point_at(std::string_view text, size_t byte) {
  auto lead = static_cast<unsigned char>(text[byte]);
  if (lead < 0x80) return lead;
  size_t length = std::min(char_bytes(lead), text.size() - byte);
  int32_t code_point = lead & (0xFF >> (length + 1));
  for (size_t i = 1; i < length; i++) code_point = code_point << 6 | (text[byte + i] & 0x3F);
  return code_point;
}

void append_utf8(std::string& out, int32_t code_point) {
  utf8proc_uint8_t bytes[4];
  auto length = utf8proc_encode_char(code_point, bytes);
  out.append(reinterpret_cast<const char*>(bytes), static_cast<size_t>(length));
}

int64_t count_code_points(std::string_view text) {
  return std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xC0) != 0x80; });
}

size_t byte_of_code_point(std::string_view text, int64_t index) {
  size_t byte = 0;
  while (index-- > 0 && byte < text.size()) byte += char_bytes(static_cast<unsigned char>(text[byte]));
  return std::min(byte, text.size());
}

size_t find_text(std::string_view text, std::string_view wanted, size_t from) {
  if (from > text.size()) return std::string_view::npos;
  auto* found = memmem(text.data() + from, text.size() - from, wanted.data(), wanted.size());  // linear in both
  return found ? static_cast<size_t>(static_cast<const char*>(found) - text.data()) : std::string_view::npos;
}

size_t rfind_text(Budget& budget, std::string_view text, std::string_view wanted) {
  budget.charge(static_cast<int64_t>(text.size() / 1024 * (wanted.size() / 64 + 1)));
  return text.rfind(wanted);
}

std::string_view trim_left(std::string_view text) {
  while (!text.empty() && is_space(code_point_at(text, 0)))
    text.remove_prefix(char_bytes(static_cast<unsigned char>(text[0])));
  return text;
}

std::string_view trim_right(std::string_view text) {
  while (!text.empty()) {
    size_t last = text.size() - 1;
    while (last > 0 && (text[last] & 0xC0) == 0x80) last--;
    if (!is_space(code_point_at(text, last))) break;
    text = text.substr(0, last);
  }
  return text;
}

}  // namespace penstock::jinja
