// Strict JSON for everything that comes from outside: model folders and request lines.
#pragma once
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "kernels/error.h"

namespace penstock {

using Json = nlohmann::json;
using OrderedJson = nlohmann::ordered_json;  // keys in the order of the text; finding one is linear

// The message is short, valid UTF-8 and free of control characters, whatever the text holds.
struct JsonError : std::runtime_error {
  JsonError(const std::string& message, size_t offset) : std::runtime_error(message), byte_offset(offset) {}
  size_t byte_offset;  // where parsing stopped, from 0
};

// Parses exactly one JSON value (RFC 8259) that fills `text`, leading and trailing white space aside.
// Beyond the RFC it refuses: duplicate keys in one object (compared after unescaping), nesting deeper than
// `max_depth`, a byte order mark, numbers outside the range of double, invalid UTF-8 and lone surrogates.
// Errors: JsonError with the byte offset. Memory: proportional to `text`; the stack does not grow with nesting.
Json parse_json(std::string_view text, int max_depth = 64);

// The same, with the keys in the order of the text. Linear in `text`, whatever its number of keys.
OrderedJson parse_ordered_json(std::string_view text, int max_depth = 64);

// Receives a text as it is read, for texts that would be too large as values. It may throw to stop.
class JsonVisitor {
 public:
  virtual ~JsonVisitor() = default;
  virtual void begin(char bracket) = 0;  // '{' or '['
  virtual void end() = 0;                // of what was begun last
  virtual void key(const std::string& name) = 0;
  virtual void value(const Json& scalar) = 0;  // null, boolean, number or string
};

// As strict as parse_json, with the same errors. Memory: the keys of the objects that are open, and the longest string.
void scan_json(std::string_view text, JsonVisitor& visitor, int max_depth = 64);

// `text` as a JSON string for messages: escaped, invalid UTF-8 replaced, cut after about 80 bytes.
std::string quote(std::string_view text);

}  // namespace penstock
