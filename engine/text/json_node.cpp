#include "engine/text/json_node.h"

#include <algorithm>

namespace penstock::text {

void Node::fail(const std::string& complaint) const { throw Error(ExitCode::bad_model, place_ + " " + complaint); }

void Node::expect_object() const {
  if (!value_->is_object()) fail("must be an object");
}

Node Node::at(const char* key) const {
  auto found = find(key);
  if (!found) fail("has no " + quote(key));
  return *found;
}

std::optional<Node> Node::find(const char* key) const {
  expect_object();
  auto found = value_->find(key);
  if (found == value_->end() || found->is_null()) return std::nullopt;
  return Node(*found, place_ + (place_.ends_with(':') ? " " : ".") + key, 0);
}

size_t Node::size() const {
  if (!value_->is_array()) fail("must be an array");
  return value_->size();
}

Node Node::element(size_t index) const { return Node((*value_)[index], place_ + "[" + std::to_string(index) + "]", 0); }

void Node::only(std::initializer_list<std::string_view> known) const {
  expect_object();
  for (const auto& [key, value] : value_->items())
    if (!value.is_null() && std::find(known.begin(), known.end(), key) == known.end())
      fail("has the unknown field " + quote(key));
}

std::string Node::string() const {
  if (!value_->is_string()) fail("must be a string");
  return value_->get<std::string>();
}

bool Node::boolean() const {
  if (!value_->is_boolean()) fail("must be true or false");
  return value_->get<bool>();
}

bool Node::boolean_or(const char* key, bool otherwise) const {
  auto found = find(key);
  return found ? found->boolean() : otherwise;
}

int64_t Node::integer(int64_t low, int64_t high) const {
  bool fits = value_->is_number_integer() &&
              !(value_->is_number_unsigned() && value_->get<uint64_t>() > static_cast<uint64_t>(INT64_MAX));
  if (!fits || value_->get<int64_t>() < low || value_->get<int64_t>() > high)
    fail("must be an integer from " + std::to_string(low) + " to " + std::to_string(high));
  return value_->get<int64_t>();
}

int32_t Node::token_id() const { return static_cast<int32_t>(integer(0, INT32_MAX)); }

}  // namespace penstock::text
