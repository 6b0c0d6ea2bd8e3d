#include <utility>
#include <vector>

#include "engine/json.h"

namespace penstock {
namespace {

// Appends members at the back of their object. nlohmann's own parser looks each new key up among all before it, which
// is quadratic for an ordered object; here scan_json has already refused duplicates.
class OrderedBuilder : public JsonVisitor {
 public:
  void begin(char bracket) override {
    open_.push_back(&add(bracket == '{' ? OrderedJson::object() : OrderedJson::array()));
  }
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
  OrderedJson take() { return std::move(root_); }

 private:
  // A container that is open stays where it is: its parent grows again only once it is closed.
  OrderedJson& add(OrderedJson value) {
    if (open_.empty()) return root_ = std::move(value);
    OrderedJson& parent = *open_.back();
    if (parent.is_array()) {
      auto& items = parent.get_ref<OrderedJson::array_t&>();
      return items.emplace_back(std::move(value));
    }
    std::vector<OrderedJson::object_t::value_type>& members = parent.get_ref<OrderedJson::object_t&>();
    return members.emplace_back(std::move(key_), std::move(value)).second;
  }

  OrderedJson root_;
  std::vector<OrderedJson*> open_;
  std::string key_;
};

}  // namespace

OrderedJson parse_ordered_json(std::string_view text, int max_depth) {
  OrderedBuilder builder;
  scan_json(text, builder, max_depth);
  return builder.take();
}

}  // namespace penstock
