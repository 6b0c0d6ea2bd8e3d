// A value inside a parsed file together with its place ("tokenizer.json: model.merges[3]"), so that every complaint
// names file and field. All errors are Error(bad_model).
#pragma once
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "engine/json.h"

namespace penstock::text {

class Node {
 public:
  Node(const Json& root, const std::string& file) : value_(&root), place_(file + ":") {}

  const Json& json() const { return *value_; }
  const std::string& place() const { return place_; }
  [[noreturn]] void fail(const std::string& complaint) const;

  Node at(const char* key) const;                   // must be there and not null
  std::optional<Node> find(const char* key) const;  // absent and null are the same
  Node element(size_t index) const;
  size_t size() const;  // of an array

  // Refuses every other key whose value is not null: an unknown field may change what the file means.
  void only(std::initializer_list<std::string_view> known) const;

  std::string string() const;
  bool boolean() const;
  bool boolean_or(const char* key, bool otherwise) const;
  int64_t integer(int64_t low, int64_t high) const;
  int32_t token_id() const;  // 0 … 2^31 - 1

  std::string type() const { return at("type").string(); }

 private:
  Node(const Json& value, std::string place, int) : value_(&value), place_(std::move(place)) {}
  void expect_object() const;

  const Json* value_;
  std::string place_;
};

}  // namespace penstock::text
