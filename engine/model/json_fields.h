// Reads the fields of one JSON object of a model folder, strictly typed. null counts as absent, as in transformers.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/json.h"

namespace penstock {

// `place` leads every message: "FOLDER/config.json: ", with the outer field for an object inside: "…: rope_scaling.".
// Errors of all members: Error(bad_model) "PLACEfield: what is wrong with it".
class JsonFields {
 public:
  JsonFields(const Json& object, std::string place) : object_(object), place_(std::move(place)) {}

  const Json* find(const char* name) const;   // nullptr when absent or null
  std::vector<std::string> names() const;     // of all fields that are not null
  JsonFields object(const char* name) const;  // of a field that is present

  std::optional<int64_t> integer(const char* name, int64_t least, int64_t most) const;
  std::optional<double> number(const char* name) const;
  std::optional<bool> boolean(const char* name) const;
  std::optional<std::string> string(const char* name) const;
  int64_t required_integer(const char* name, int64_t least, int64_t most) const;

  // A field that has changed its name: either spelling, or both when they agree.
  std::optional<std::string> string(const char* name, const char* other) const;

  [[noreturn]] void refuse(std::string_view name, const std::string& what) const;

 private:
  const Json& object_;
  std::string place_;
};

// `value` for messages, on one line and short.
std::string shown_value(const Json& value);

// The object that is all of `text`. Errors: Error(bad_model) naming `path`.
Json parse_json_object(std::string_view text, const std::string& path);

}  // namespace penstock
