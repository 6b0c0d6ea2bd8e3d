// model.safetensors.index.json: which tensor lies in which shard.
#pragma once
#include <string>
#include <string_view>
#include <vector>

namespace penstock {

struct SafetensorsIndex {
  struct Entry {
    std::string tensor;
    int shard = 0;  // index into `shards`
  };
  std::vector<std::string> shards;  // file names, ascending
  std::vector<Entry> entries;       // by tensor name, ascending
};

// Errors: Error(bad_model) naming `path` and the field: not strict JSON, no weight_map, or one that is empty, holds
// something other than strings, over 2^20 tensors or over 1000 shards. Memory: a few times `text`.
SafetensorsIndex parse_safetensors_index(std::string_view text, const std::string& path);

}  // namespace penstock
