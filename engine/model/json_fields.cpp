#include "engine/model/json_fields.h"

namespace penstock {

const Json* JsonFields::find(const char* name) const {
  auto at = object_.find(name);
  return at == object_.end() || at->is_null() ? nullptr : &*at;
}

std::vector<std::string> JsonFields::names() const {
  std::vector<std::string> names;
  for (const auto& [name, value] : object_.items())
    if (!value.is_null()) names.push_back(name);
  return names;
}

JsonFields JsonFields::object(const char* name) const {
  const Json& value = *find(name);
  if (!value.is_object()) refuse(name, "is not an object but " + shown_value(value));
  return {value, place_ + name + "."};
}

std::optional<int64_t> JsonFields::integer(const char* name, int64_t least, int64_t most) const {
  const Json* value = find(name);
  if (!value) return std::nullopt;
  if (!value->is_number_integer()) refuse(name, "is not an integer but " + shown_value(*value));
  bool above_int64 = value->is_number_unsigned() && value->get<uint64_t>() > INT64_MAX;
  int64_t number = above_int64 ? INT64_MAX : value->get<int64_t>();
  if (above_int64 || number < least || number > most)
    refuse(name, "is " + shown_value(*value) + ", outside " + std::to_string(least) + " to " + std::to_string(most));
  return number;
}

std::optional<double> JsonFields::number(const char* name) const {
  const Json* value = find(name);
  if (!value) return std::nullopt;
  if (!value->is_number()) refuse(name, "is not a number but " + shown_value(*value));
  return value->get<double>();
}

std::optional<bool> JsonFields::boolean(const char* name) const {
  const Json* value = find(name);
  if (!value) return std::nullopt;
  if (!value->is_boolean()) refuse(name, "is not true or false but " + shown_value(*value));
  return value->get<bool>();
}

std::optional<std::string> JsonFields::string(const char* name) const {
  const Json* value = find(name);
  if (!value) return std::nullopt;
  if (!value->is_string()) refuse(name, "is not a string but " + shown_value(*value));
  return value->get<std::string>();
}

int64_t JsonFields::required_integer(const char* name, int64_t least, int64_t most) const {
  auto value = integer(name, least, most);
  if (!value) refuse(name, "is missing");
  return *value;
}

std::optional<std::string> JsonFields::string(const char* name, const char* other) const {
  auto first = string(name), second = string(other);
  if (first && second && *first != *second)
    refuse(name, "is " + quote(*first) + ", but " + other + " is " + quote(*second));
  return first ? first : second;
}

void JsonFields::refuse(std::string_view name, const std::string& what) const {
  throw Error(ExitCode::bad_model, place_ + std::string(name) + ": " + what);
}

std::string shown_value(const Json& value) {
  if (value.is_string()) return quote(value.get_ref<const std::string&>());
  if (value.is_object()) return "an object";
  if (value.is_array()) return "a list";
  return value.dump();
}

Json parse_json_object(std::string_view text, const std::string& path) {
  try {
    Json value = parse_json(text);
    if (!value.is_object()) throw Error(ExitCode::bad_model, path + ": is not an object but " + shown_value(value));
    return value;
  } catch (const JsonError& e) {
    throw Error(ExitCode::bad_model, path + ": " + e.what() + " (byte " + std::to_string(e.byte_offset) + ")");
  }
}

}  // namespace penstock
