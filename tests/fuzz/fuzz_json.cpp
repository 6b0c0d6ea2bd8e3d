// The JSON reader. Input: a text.
#include "engine/json.h"

#include "engine/text/unicode.h"
#include "tests/fuzz/invariant.h"

using namespace penstock;
using fuzz::require;

namespace {

// The value and its error's place: both ways to read a text must agree on them.
template <class Value>
struct Outcome {
  Value value;
  size_t error_at = std::string_view::npos;
};

template <class Value, class Parse>
Outcome<Value> outcome(std::string_view text, Parse parse) {
  try {
    return {parse(text), std::string_view::npos};
  } catch (const JsonError& error) {
    const std::string_view message = error.what();
    require(!message.empty() && message.size() < 1000 && text::is_utf8(message), "the message is short and UTF-8");
    require(message.find_first_of("\n\r\x1b") == message.npos, "the message has no control characters");
    require(error.byte_offset <= text.size(), "the offset lies in the text");
    return {{}, error.byte_offset};
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text = fuzz::text_of(data, size);
  const auto plain = outcome<Json>(text, [](auto t) { return parse_json(t); });
  const auto ordered = outcome<OrderedJson>(text, [](auto t) { return parse_ordered_json(t); });
  require(plain.error_at == ordered.error_at, "both readers stop at the same byte");
  if (plain.error_at != text.npos) return 0;
  require(text::is_utf8(text), "accepted text is UTF-8");
  require(Json(ordered.value) == plain.value, "both readers read the same");
  require(parse_json(plain.value.dump()) == plain.value, "what was read can be written and read again");
  require(parse_ordered_json(ordered.value.dump()).dump() == ordered.value.dump(), "the order stays");
  return 0;
}
