#include "engine/json.h"

#include <algorithm>
#include <set>
#include <vector>

namespace penstock {
namespace {

// Reads the text for nlohmann and tells how far it has come, which nlohmann itself tells only for syntax errors.
class Cursor {
 public:
  using iterator_category = std::forward_iterator_tag;
  using value_type = char;
  using difference_type = std::ptrdiff_t;
  using pointer = const char*;
  using reference = const char&;

  Cursor(const char* at, const char** furthest) : at_(at), furthest_(furthest) {}
  reference operator*() const { return *at_; }
  Cursor& operator++() {
    *furthest_ = ++at_;
    return *this;
  }
  Cursor operator++(int) {
    Cursor before = *this;
    ++*this;
    return before;
  }
  bool operator==(const Cursor& other) const { return at_ == other.at_; }
  bool operator!=(const Cursor& other) const { return at_ != other.at_; }

 private:
  const char* at_;
  const char** furthest_;
};

class Source {
 public:
  explicit Source(std::string_view text) : text_(text), furthest_(text.data()) {
    if (text.starts_with("\xEF\xBB\xBF")) throw JsonError("byte order mark before the JSON text", 0);
    // nlohmann takes NUL for the end of the text and would ignore what follows it.
    if (auto nul = text.find('\0'); nul != text.npos) throw JsonError("NUL byte", nul);
  }
  Cursor begin() { return {text_.data(), &furthest_}; }
  Cursor end() { return {text_.data() + text_.size(), &furthest_}; }
  size_t last_read() const { return std::max<ptrdiff_t>(furthest_ - text_.data(), 1) - 1; }

 private:
  std::string_view text_;
  const char* furthest_;
};

// nlohmann keeps the last of two equal keys and nests without limit; this watches both.
class Guard {
 public:
  Guard(int max_depth, const Source& source) : max_depth_(max_depth), source_(source) {}

  void begin() {
    if (static_cast<int>(keys_.size()) == max_depth_)
      throw JsonError("nested deeper than " + std::to_string(max_depth_) + " levels", source_.last_read());
    keys_.emplace_back();
  }
  void end() { keys_.pop_back(); }
  void key(const std::string& name) {
    if (!keys_.back().insert(name).second) throw JsonError("duplicate key " + quote(name), source_.last_read());
  }

 private:
  int max_depth_;
  const Source& source_;
  // The keys of every container that is open. Ordered sets: keys chosen to collide would make hashing quadratic.
  std::vector<std::set<std::string>> keys_;
};

// "; expected …" at the end, or nothing. RAW may hold such words itself, so only nlohmann's own count.
std::string expectation_behind(std::string_view text) {
  for (const char* token : {"true literal", "false literal", "null literal", "string literal", "number literal", "'['",
                            "'{'", "']'", "'}'", "':'", "','", "end of input", "'[', '{', or a literal"}) {
    const std::string expected = std::string("; expected ") + token;
    if (text.ends_with("'" + expected)) return expected;
  }
  return "";
}

// nlohmann says "[json.exception.parse_error.101] parse error at line 1, column 2: WHAT; last read: 'RAW'; expected …".
// The prefix says nothing to our users, and RAW is the text's own bytes, of any length.
JsonError readable(const Json::exception& e, size_t offset) {
  std::string what = e.what();
  if (auto cut = what.find("] "); cut != what.npos) what.erase(0, cut + 2);
  if (what.starts_with("parse error"))
    if (auto cut = what.find(": "); cut != what.npos) what.erase(0, cut + 2);
  if (auto raw = what.find("; last read: '"); raw != what.npos) {
    const std::string expected = expectation_behind(std::string_view(what).substr(raw));
    what.resize(raw);
    what += expected;
  }
  if (what.size() > 200) what.resize(200);  // a number's digits; ASCII
  return JsonError(what, offset);
}

size_t offset_of(const nlohmann::detail::exception& e, const Source& source) {
  auto* syntax = dynamic_cast<const Json::parse_error*>(&e);
  return syntax && syntax->byte ? syntax->byte - 1 : source.last_read();
}

// From nlohmann's thirteen events to our four.
class Events {
 public:
  Events(JsonVisitor& visitor, Guard guard, const Source& source)
      : visitor_(visitor), guard_(std::move(guard)), source_(source) {}

  bool null() { return value(nullptr); }
  bool boolean(bool v) { return value(v); }
  bool number_integer(int64_t v) { return value(v); }
  bool number_unsigned(uint64_t v) { return value(v); }
  bool number_float(double v, const std::string&) { return value(v); }
  bool string(std::string& v) { return value(std::move(v)); }
  bool binary(Json::binary_t&) { return false; }  // not in text
  bool start_object(size_t) { return begin('{'); }
  bool start_array(size_t) { return begin('['); }
  bool end_object() { return end(); }
  bool end_array() { return end(); }
  bool key(std::string& name) {
    guard_.key(name);
    visitor_.key(name);
    return true;
  }
  bool parse_error(size_t, const std::string&, const nlohmann::detail::exception& e) {
    throw readable(e, offset_of(e, source_));
  }

 private:
  bool value(Json scalar) {
    visitor_.value(scalar);
    return true;
  }
  bool begin(char bracket) {
    guard_.begin();
    visitor_.begin(bracket);
    return true;
  }
  bool end() {
    guard_.end();
    visitor_.end();
    return true;
  }

  JsonVisitor& visitor_;
  Guard guard_;
  const Source& source_;
};

}  // namespace

void scan_json(std::string_view text, JsonVisitor& visitor, int max_depth) {
  Source source(text);
  Events events(visitor, Guard(max_depth, source), source);
  Json::sax_parse(source.begin(), source.end(), &events);
}

std::string quote(std::string_view text) {
  constexpr size_t kLongest = 80;
  bool cut = text.size() > kLongest;
  if (cut) {
    size_t size = kLongest;
    while (size > kLongest - 4 && (text[size] & 0xC0) == 0x80) --size;  // not inside a UTF-8 sequence
    text = text.substr(0, size);
  }
  std::string literal = Json(text).dump(-1, ' ', false, Json::error_handler_t::replace);
  return cut ? literal + "…" : literal;
}

}  // namespace penstock
