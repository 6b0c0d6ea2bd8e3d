#include "engine/model/safetensors_index.h"

#include <algorithm>
#include <map>

#include "engine/json.h"
#include "kernels/error.h"

namespace penstock {
namespace {

constexpr size_t kMaxKeys = 1 << 20;  // of all objects together; bounds the memory of a hostile file
constexpr size_t kMaxShards = 1000;

// Keeps weight_map, checks metadata.total_size, and lets everything else pass.
class IndexReader final : public JsonVisitor {
 public:
  explicit IndexReader(const std::string& path) : path_(path) {}

  std::map<std::string, int> shards;  // to the order of their first mention
  std::vector<SafetensorsIndex::Entry> entries;

  void begin(char bracket) override {
    if (depth_ == 0 && bracket != '{') refuse("is not an object");
    if (depth_ == 1 && section_ == Section::weight_map && bracket != '{') refuse("weight_map: is not an object");
    if (depth_ == 2 && section_ == Section::weight_map) refuse_value();
    if (at_total_size()) refuse_total_size();
    ++depth_;
  }
  void end() override { --depth_; }

  void key(const std::string& name) override {
    if (++keys_ > kMaxKeys) refuse("has more than 1048576 keys");
    if (depth_ == 1) {
      section_ = name == "weight_map" ? Section::weight_map : name == "metadata" ? Section::metadata : Section::other;
    }
    if (depth_ == 2) key_ = name;
  }

  void value(const Json& scalar) override {
    if (depth_ == 0) refuse("is not an object");
    if (depth_ == 1 && section_ == Section::weight_map) refuse("weight_map: is not an object");
    // A total_size that differs from the shards' is accepted: checkpoints with tied weights have it, and nothing reads
    // it. One that is no size at all shows a damaged file.
    if (at_total_size() && !scalar.is_number_unsigned()) refuse_total_size();
    if (depth_ == 2 && section_ == Section::weight_map) add(scalar);
  }

 private:
  enum class Section { other, metadata, weight_map };

  [[noreturn]] void refuse(const std::string& what) const { throw Error(ExitCode::bad_model, path_ + ": " + what); }
  [[noreturn]] void refuse_value() const { refuse("weight_map: " + quote(key_) + ": is not a string"); }
  [[noreturn]] void refuse_total_size() const { refuse("metadata.total_size: is not an integer from 0"); }
  bool at_total_size() const { return depth_ == 2 && section_ == Section::metadata && key_ == "total_size"; }

  void add(const Json& scalar) {
    if (!scalar.is_string()) refuse_value();
    auto [shard, is_new] = shards.try_emplace(scalar.get_ref<const std::string&>(), static_cast<int>(shards.size()));
    if (is_new && shards.size() > kMaxShards) refuse("weight_map: names more than 1000 files");
    entries.push_back({key_, shard->second});
  }

  const std::string& path_;
  int depth_ = 0;
  size_t keys_ = 0;
  Section section_ = Section::other;
  std::string key_;
};

}  // namespace

SafetensorsIndex parse_safetensors_index(std::string_view text, const std::string& path) {
  IndexReader reader(path);
  try {
    scan_json(text, reader);
  } catch (const JsonError& e) {
    throw Error(ExitCode::bad_model, path + ": " + e.what() + " (byte " + std::to_string(e.byte_offset) + ")");
  }
  if (reader.entries.empty()) throw Error(ExitCode::bad_model, path + ": weight_map: is missing or empty");

  SafetensorsIndex index;
  std::vector<int> sorted_place(reader.shards.size());
  for (const auto& [name, place] : reader.shards) {
    sorted_place[place] = static_cast<int>(index.shards.size());
    index.shards.push_back(name);
  }
  index.entries = std::move(reader.entries);
  for (auto& entry : index.entries) entry.shard = sorted_place[entry.shard];
  std::sort(index.entries.begin(), index.entries.end(),
            [](const auto& a, const auto& b) { return a.tensor < b.tensor; });
  return index;
}

}  // namespace penstock
