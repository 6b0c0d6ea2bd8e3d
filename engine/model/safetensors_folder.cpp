#include <algorithm>

#include "engine/json.h"
#include "engine/model/safetensors_file.h"
#include "engine/model/safetensors_index.h"

namespace penstock {
namespace {

constexpr uint64_t kMaxIndexBytes = 256 << 20;
constexpr uint64_t kKeptHeaderBytes = 16 << 20;
constexpr const char* kSingleFile = "model.safetensors";
constexpr const char* kIndexFile = "model.safetensors.index.json";

bool by_name(const TensorInfo& a, const TensorInfo& b) { return a.name < b.name; }

// The first 8 + N bytes. N is judged before anything of that size is allocated.
std::string read_header(const FolderFile& file) {
  std::string head(std::min<uint64_t>(file.bytes(), 64), '\0');
  file.read(0, head.size(), head.data());
  uint64_t size = safetensors_header_bytes(head, file.bytes(), file.path());
  uint64_t have = std::min<uint64_t>(head.size(), size);
  head.resize(size);
  file.read(have, size - have, head.data() + have);
  return head;
}

}  // namespace

SafetensorsFolder::SafetensorsFolder(const std::string& folder) {
  FolderRoot root(folder);
  auto single = root.open(kSingleFile);
  auto index = root.open(kIndexFile);
  if (single && index)
    throw Error(ExitCode::bad_model,
                root.path() + ": holds both " + kSingleFile + " and " + kIndexFile + "; which one counts is not clear");
  if (!single && !index)
    throw Error(ExitCode::not_found, root.path() + ": has neither " + kSingleFile + " nor " + kIndexFile);
  if (single)
    add_file(std::move(*single), tensors_);
  else
    open_shards(root, *index);
  std::sort(tensors_.begin(), tensors_.end(), by_name);
}

// Opens `file` as the next of files_ and puts its tensors, by offset, into `tensors`.
void SafetensorsFolder::add_file(FolderFile file, std::vector<TensorInfo>& tensors) {
  std::string head = read_header(file);
  tensors = parse_safetensors_header(head, file.bytes(), file.path()).tensors;
  for (TensorInfo& tensor : tensors) tensor.file = static_cast<int>(files_.size());
  if (head.size() > kKeptHeaderBytes) head = {};
  files_.push_back({file.path(), file.bytes(), std::move(head)});
  open_files_.push_back(std::move(file));
}

void SafetensorsFolder::open_shards(const FolderRoot& root, const FolderFile& index_file) {
  SafetensorsIndex index = parse_safetensors_index(index_file.read_text(kMaxIndexBytes), index_file.path());
  std::vector<bool> found(index.entries.size());
  for (const std::string& name : index.shards) {
    auto file = root.open(name);
    if (!file) throw Error(ExitCode::bad_model, root.path() + "/" + name + ": is missing; " + kIndexFile + " lists it");
    std::vector<TensorInfo> tensors;
    add_file(std::move(*file), tensors);
    for (TensorInfo& tensor : tensors) {
      auto refuse = [&](const std::string& what) {
        throw Error(ExitCode::bad_model, files_.back().path + ": tensor " + quote(tensor.name) + ": " + what);
      };
      auto entry = std::lower_bound(index.entries.begin(), index.entries.end(), tensor.name,
                                    [](const auto& e, const std::string& wanted) { return e.tensor < wanted; });
      if (entry == index.entries.end() || entry->tensor != tensor.name)
        refuse(std::string("is not listed in ") + kIndexFile);
      if (entry->shard != tensor.file)
        refuse("is here, but " + std::string(kIndexFile) + " places it in " + quote(index.shards[entry->shard]));
      found[entry - index.entries.begin()] = true;
      tensors_.push_back(std::move(tensor));
    }
  }
  auto absent = std::find(found.begin(), found.end(), false);
  if (absent == found.end()) return;
  const auto& entry = index.entries[absent - found.begin()];
  throw Error(ExitCode::bad_model, index_file.path() + ": weight_map: tensor " + quote(entry.tensor) + " is not in " +
                                       quote(index.shards[entry.shard]));
}

std::string SafetensorsFolder::place(const TensorInfo& tensor) const {
  return files_[tensor.file].path + ": tensor " + quote(tensor.name);
}

const TensorInfo* SafetensorsFolder::find(std::string_view name) const {
  auto at = std::lower_bound(tensors_.begin(), tensors_.end(), name,
                             [](const TensorInfo& t, std::string_view wanted) { return t.name < wanted; });
  return at != tensors_.end() && at->name == name ? &*at : nullptr;
}

void SafetensorsFolder::read(const TensorInfo& tensor, uint64_t begin, uint64_t size, void* out) const {
  if (begin > tensor.bytes || size > tensor.bytes - begin)
    throw Error(ExitCode::internal, "tensor " + quote(tensor.name) + ": read past its end");
  open_files_.at(tensor.file).read(tensor.offset + begin, size, out);
}

}  // namespace penstock
