// Typed, ranged reads of one JSON field, and the error that says what is allowed instead.
#pragma once
#include <cstdint>
#include <limits>
#include <stdexcept>
#include <string>

#include "app/request.h"
#include "engine/json.h"

namespace penstock {

// A field that cannot be accepted. `param` is the field's path, "messages[2].content".
struct FieldError : std::runtime_error {
  FieldError(std::string code, std::string param, const std::string& message)
      : std::runtime_error(message), code(std::move(code)), param(std::move(param)) {}
  std::string code, param;
};

// "N from 1 in the unsharded file" is the one thing by which a user finds the line, so every message begins with it.
RecordError make_record_error(const Request& request, const std::string& code, const std::string& param,
                              const std::string& message);

// The value as messages show it: JSON, cut when long.
std::string shown(const OrderedJson& value);

struct IntegerRange {
  int64_t least, most;
};
struct NumberRange {
  double least, most;
  bool above_least = false;  // `least` itself is not allowed
};

// Errors: FieldError "invalid_type" for another type (1.0 is no integer), "invalid_value" outside the range.
int64_t read_integer(const std::string& field, const OrderedJson& value, IntegerRange range);
uint64_t read_unsigned(const std::string& field, const OrderedJson& value);
double read_number(const std::string& field, const OrderedJson& value, NumberRange range);
bool read_bool(const std::string& field, const OrderedJson& value);
const std::string& read_string(const std::string& field, const OrderedJson& value);
const OrderedJson& read_array(const std::string& field, const OrderedJson& value);
const OrderedJson& read_object(const std::string& field, const OrderedJson& value);

[[noreturn]] void throw_type(const std::string& field, const std::string& wanted, const OrderedJson& value);
[[noreturn]] void throw_value(const std::string& field, const std::string& wanted, const OrderedJson& value);

// "messages", 2 -> "messages[2]".
std::string element(const std::string& field, size_t index);

}  // namespace penstock
