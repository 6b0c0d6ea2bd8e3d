#include "app/request.h"

#include "app/request_fields.h"

namespace penstock {
namespace {

std::string_view without_byte_order_mark(std::string_view line, int64_t line_number) {
  constexpr std::string_view kMark = "\xEF\xBB\xBF";
  return line_number == 1 && line.starts_with(kMark) ? line.substr(kMark.size()) : line;
}

OrderedJson parse_line(std::string_view line, const ParseLimits& limits) {
  if (static_cast<int64_t>(line.size()) > limits.max_line_bytes)
    throw FieldError("line_too_long", "",
                     "the line has " + std::to_string(line.size()) + " bytes; " +
                         std::to_string(limits.max_line_bytes) + " are allowed");
  try {
    OrderedJson value = parse_ordered_json(line);
    if (!value.is_object()) throw FieldError("invalid_json", "", "a line must be a JSON object, not " + shown(value));
    return value;
  } catch (const JsonError& error) {
    throw FieldError("invalid_json", "", "byte " + std::to_string(error.byte_offset) + ": " + error.what());
  }
}

bool has_any(const OrderedJson& line, std::initializer_list<const char*> names) {
  for (const char* name : names)
    if (line.contains(name)) return true;
  return false;
}

}  // namespace

std::variant<Request, RecordError> parse_request(std::string_view text, int64_t line_number,
                                                 const ParseLimits& limits) {
  Request request;
  request.line = line_number;
  request.id = "line-" + std::to_string(line_number);
  bool batch_line = false, is_request = false;
  try {
    OrderedJson line = parse_line(without_byte_order_mark(text, line_number), limits);
    batch_line = has_any(line, {"custom_id", "method", "url", "body"});
    is_request = !batch_line;
    if (batch_line)
      read_batch_line(request, line, limits, is_request);
    else if (has_any(line, {"context", "continuation"}))
      read_score_line(request, line);
    else if (has_any(line, {"rolling", "text"}))
      read_rolling_line(request, line);
    else
      read_bare_line(request, line, limits);
    return request;
  } catch (const FieldError& e) {
    RecordError error = make_record_error(request, e.code, e.param, e.what());
    error.batch_line = batch_line;
    // A batch line with another url is a request all the same, one for an endpoint that is not here.
    if (is_request) error.kind = batch_line && !request.prompts.empty() ? RequestKind::batch_completion : request.kind;
    if (!is_request) error.kind.reset();
    return error;
  }
}

}  // namespace penstock
