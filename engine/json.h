// Strict JSON for everything that comes from outside: model folders and request lines.
#pragma once
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "kernels/error.h"

namespace penstock {

using Json = nlohmann::json;

struct JsonError : std::runtime_error {
  JsonError(const std::string& message, size_t offset) : std::runtime_error(message), byte_offset(offset) {}
  size_t byte_offset;  // where parsing stopped, from 0
};

// Parses exactly one JSON value (RFC 8259) that fills `text`, leading and trailing white space aside.
// Beyond the RFC it refuses: duplicate keys in one object (compared after unescaping), nesting deeper than
// `max_depth`, a byte order mark, numbers outside the range of double, invalid UTF-8 and lone surrogates.
// Errors: JsonError with the byte offset. Memory: proportional to `text`; the stack does not grow with nesting.
Json parse_json(std::string_view text, int max_depth = 64);

}  // namespace penstock
