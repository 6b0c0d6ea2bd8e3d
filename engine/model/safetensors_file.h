// Reads safetensors: one file, or model.safetensors.index.json and its shards.
//
// Format: https://github.com/huggingface/safetensors (README, "Format"). Stricter than the Hugging Face reader: see
// the errors below. Files are read with pread and never mapped, so a file that shrinks is an error and not a crash.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "engine/model/folder_file.h"
#include "kernels/tensor.h"

namespace penstock {

struct TensorInfo {
  std::string name;
  std::string dtype_name;      // as the file spells it: "BF16"
  std::vector<int64_t> shape;  // rank 0 to 8
  int file = 0;                // index into SafetensorsFolder::files()
  uint64_t offset = 0;         // of the first byte, from the start of that file
  uint64_t bytes = 0;
};

struct SafetensorsHeader {
  std::vector<TensorInfo> tensors;  // in the order of their offsets
  uint64_t data_offset = 0;         // of the byte buffer, from the start of the file
};

// Parses and validates a header. `head` must hold the file's first 8 + N bytes; `file_bytes` is the whole file's size.
// Errors: Error(bad_model) naming `path`, the tensor and the field: everything the reference reader refuses (bad
// length, bad UTF-8 or JSON, unknown dtype, shape x dtype != size, overlaps, holes, trailing bytes …), and duplicate
// keys (also escaped ones), rank over 8, products that overflow, names that are empty, hold NUL or have over 1024
// bytes, fields the format does not know, over 2^20 tensors. Memory: a few times the header.
SafetensorsHeader parse_safetensors_header(std::string_view head, uint64_t file_bytes, const std::string& path);

// 8 + N, from a file's first bytes (at least 8 when the file has them). Errors: Error(bad_model) when N cannot be
// right, or when the file is something else by its first bytes (Git-LFS pointer, HTML page, ZIP, GGUF); the message
// says what.
uint64_t safetensors_header_bytes(std::string_view first_bytes, uint64_t file_bytes, const std::string& path);

// A model folder's weight files. Opening validates every header, and every weight_map entry against the shards, before
// anything large is allocated. Thread-safe after construction.
class SafetensorsFolder {
 public:
  struct File {
    std::string path;
    uint64_t bytes = 0;
    std::string header;  // its 8 + N first bytes, for the request hash (design.md §7); empty when over 16 MiB
  };

  // Errors: Error(not_found) when the folder or its weights are missing; Error(bad_model) otherwise: a path that leaves
  // the folder (a Hugging Face cache's link from snapshots/REV into the same models--* root's blobs/ is followed),
  // something that is not a regular file, a Git-LFS pointer or an HTML page (the message says so), both a single file
  // and an index, a tensor listed but absent, present but not listed, or in two shards; over 1000 shards or 2^20
  // tensors. Error(io) when a file cannot be read.
  explicit SafetensorsFolder(const std::string& folder);

  const std::vector<File>& files() const { return files_; }
  const std::vector<TensorInfo>& tensors() const { return tensors_; }  // by name, ascending
  const TensorInfo* find(std::string_view name) const;                 // nullptr when absent
  std::string place(const TensorInfo& tensor) const;                   // "FILE: tensor NAME", for messages

  // Reads bytes [begin, begin + size) of a tensor. Errors: Error(io), also when the file has shrunk.
  void read(const TensorInfo& tensor, uint64_t begin, uint64_t size, void* out) const;

 private:
  void add_file(FolderFile file, std::vector<TensorInfo>& tensors);
  void open_shards(const FolderRoot& root, const FolderFile& index);

  std::vector<File> files_;
  std::vector<FolderFile> open_files_;  // one for each of files_
  std::vector<TensorInfo> tensors_;
};

// The file dtypes that weights may have (F32, F16, BF16). Errors: Error(bad_model) naming file, tensor and dtype.
DType weight_dtype(const TensorInfo& tensor, const std::string& place);

}  // namespace penstock
