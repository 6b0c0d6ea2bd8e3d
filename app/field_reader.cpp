#include "app/field_reader.h"

#include <sstream>

namespace penstock {
namespace {

std::string written(double number) {
  std::ostringstream out;
  out.imbue(std::locale::classic());
  out << number;
  return out.str();
}

std::string wanted_integer(IntegerRange range) {
  return "an integer from " + std::to_string(range.least) + " to " + std::to_string(range.most);
}

}  // namespace

RecordError make_record_error(const Request& request, const std::string& code, const std::string& param,
                              const std::string& message) {
  RecordError error;
  error.line = request.line;
  error.id = request.id;
  error.kind = request.kind;
  error.batch_line = request.kind == RequestKind::batch_chat || request.kind == RequestKind::batch_completion;
  error.code = code;
  error.param = param;
  error.message = "line " + std::to_string(request.line) + ": " + message;
  return error;
}

std::string shown(const OrderedJson& value) {
  if (value.is_string()) return quote(value.get_ref<const std::string&>());
  if (value.is_array()) return value.empty() ? "an empty array" : "an array";
  if (value.is_object()) return "an object";
  return value.dump();
}

void throw_type(const std::string& field, const std::string& wanted, const OrderedJson& value) {
  throw FieldError("invalid_type", field, quote(field) + " must be " + wanted + ", not " + shown(value));
}

void throw_value(const std::string& field, const std::string& wanted, const OrderedJson& value) {
  throw FieldError("invalid_value", field, quote(field) + " must be " + wanted + ", not " + shown(value));
}

int64_t read_integer(const std::string& field, const OrderedJson& value, IntegerRange range) {
  if (!value.is_number_integer()) {
    // 2^64 and 1e400 arrive as floats or not at all; a whole number that is too large is a matter of range.
    bool too_large = value.is_number_float() && !(std::abs(value.get<double>()) < 9.2e18);
    too_large ? throw_value(field, wanted_integer(range), value) : throw_type(field, wanted_integer(range), value);
  }
  bool above_int64 =
      value.is_number_unsigned() && value.get<uint64_t>() > static_cast<uint64_t>(std::numeric_limits<int64_t>::max());
  if (above_int64 || value.get<int64_t>() < range.least || value.get<int64_t>() > range.most)
    throw_value(field, wanted_integer(range), value);
  return value.get<int64_t>();
}

uint64_t read_unsigned(const std::string& field, const OrderedJson& value) {
  const char* wanted = "an integer from 0 to 18446744073709551615";
  if (!value.is_number_integer()) throw_type(field, wanted, value);
  if (!value.is_number_unsigned() && value.get<int64_t>() < 0) throw_value(field, wanted, value);
  return value.get<uint64_t>();
}

double read_number(const std::string& field, const OrderedJson& value, NumberRange range) {
  std::string wanted =
      "a number " + (range.above_least ? "above " + written(range.least) + " and up" : "from " + written(range.least)) +
      " to " + written(range.most);
  if (!value.is_number()) throw_type(field, wanted, value);
  double number = value.get<double>();
  bool inside = (range.above_least ? number > range.least : number >= range.least) && number <= range.most;
  if (!inside) throw_value(field, wanted, value);
  return number;
}

bool read_bool(const std::string& field, const OrderedJson& value) {
  if (!value.is_boolean()) throw_type(field, "true or false", value);
  return value.get<bool>();
}

const std::string& read_string(const std::string& field, const OrderedJson& value) {
  if (!value.is_string()) throw_type(field, "a string", value);
  return value.get_ref<const std::string&>();
}

const OrderedJson& read_array(const std::string& field, const OrderedJson& value) {
  if (!value.is_array()) throw_type(field, "an array", value);
  return value;
}

const OrderedJson& read_object(const std::string& field, const OrderedJson& value) {
  if (!value.is_object()) throw_type(field, "an object", value);
  return value;
}

std::string element(const std::string& field, size_t index) { return field + "[" + std::to_string(index) + "]"; }

}  // namespace penstock
