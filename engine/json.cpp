#include "engine/json.h"

#include <unordered_set>
#include <vector>

namespace penstock {
namespace {

// nlohmann keeps the last of two equal keys and nests without limit; this callback watches both.
class Guard {
 public:
  explicit Guard(int max_depth) : max_depth_(max_depth) {}

  bool operator()(int, Json::parse_event_t event, Json& parsed) {
    switch (event) {
      case Json::parse_event_t::object_start:
      case Json::parse_event_t::array_start:
        if (static_cast<int>(keys_.size()) == max_depth_)
          throw JsonError("nested deeper than " + std::to_string(max_depth_) + " levels", 0);
        keys_.emplace_back();
        break;
      case Json::parse_event_t::object_end:
      case Json::parse_event_t::array_end: keys_.pop_back(); break;
      case Json::parse_event_t::key: {
        auto key = parsed.get_ref<const std::string&>();
        if (!keys_.back().insert(key).second) throw JsonError("duplicate key " + Json(key).dump(), 0);
        break;
      }
      case Json::parse_event_t::value: break;
    }
    return true;
  }

 private:
  int max_depth_;
  std::vector<std::unordered_set<std::string>> keys_;  // of every object that is open now
};

}  // namespace

Json parse_json(std::string_view text, int max_depth) {
  if (text.starts_with("\xEF\xBB\xBF")) throw JsonError("byte order mark before the JSON text", 0);
  try {
    return Json::parse(text.begin(), text.end(), Guard(max_depth));
  } catch (const Json::parse_error& e) {
    std::string what = e.what();  // "[json.exception.parse_error.101] parse error at line 1, column 2: …"
    if (auto cut = what.find(": "); cut != std::string::npos) what.erase(0, cut + 2);
    throw JsonError(what, e.byte ? e.byte - 1 : 0);
  } catch (const Json::exception& e) {
    std::string what = e.what();
    if (auto cut = what.find("] "); cut != std::string::npos) what.erase(0, cut + 2);
    throw JsonError(what, 0);
  }
}

}  // namespace penstock
