// Values from a text. nlohmann's own parsers are quadratic here: with a callback, which strictness needs, every object
// that ends is looked for among its parent's elements, and an ordered object looks each new key up among all before it.
#include <utility>
#include <vector>

#include "engine/json.h"

namespace penstock {
namespace {

// scan_json has already refused duplicate keys.
template <class Value>
class Builder : public JsonVisitor {
 public:
  void begin(char bracket) override { open_.push_back(&add(bracket == '{' ? Value::object() : Value::array())); }
  void end() override { open_.pop_back(); }
  void key(const std::string& name) override { key_ = name; }
  void value(const Json& scalar) override {
    switch (scalar.type()) {
      case Json::value_t::string:
        add(scalar.get_ref<const std::string&>());
        break;
      case Json::value_t::boolean:
        add(scalar.get<bool>());
        break;
      case Json::value_t::number_integer:
        add(scalar.get<int64_t>());
        break;
      case Json::value_t::number_unsigned:
        add(scalar.get<uint64_t>());
        break;
      case Json::value_t::number_float:
        add(scalar.get<double>());
        break;
      default:
        add(nullptr);
    }
  }
  Value take() { return std::move(root_); }

 private:
  // A container that is open stays where it is: its parent grows again only once it is closed.
  Value& add(Value value) {
    if (open_.empty()) return root_ = std::move(value);
    Value& parent = *open_.back();
    if (parent.is_array()) {
      auto& items = parent.template get_ref<typename Value::array_t&>();
      return items.emplace_back(std::move(value));
    }
    return add_member(parent.template get_ref<typename Value::object_t&>(), std::move(value));
  }
  Json& add_member(Json::object_t& members, Json value) {
    return members.emplace(std::move(key_), std::move(value)).first->second;
  }
  OrderedJson& add_member(std::vector<OrderedJson::object_t::value_type>& members, OrderedJson value) {
    return members.emplace_back(std::move(key_), std::move(value)).second;
  }

  Value root_;
  std::vector<Value*> open_;
  std::string key_;
};

template <class Value>
Value build(std::string_view text, int max_depth) {
  Builder<Value> builder;
  scan_json(text, builder, max_depth);
  return builder.take();
}

}  // namespace

Json parse_json(std::string_view text, int max_depth) { return build<Json>(text, max_depth); }
OrderedJson parse_ordered_json(std::string_view text, int max_depth) { return build<OrderedJson>(text, max_depth); }

}  // namespace penstock
