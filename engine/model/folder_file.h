// Opens the files of a model folder as if the folder came from a stranger: nothing outside it is read, nothing blocks.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace penstock {

// An open regular file. Thread-safe after construction.
class FolderFile {
 public:
  FolderFile(std::string path, int descriptor, uint64_t bytes);
  FolderFile(FolderFile&& other) noexcept;
  FolderFile& operator=(FolderFile&&) = delete;
  ~FolderFile();

  const std::string& path() const { return path_; }  // as the user would type it, for messages
  uint64_t bytes() const { return bytes_; }          // when it was opened

  // Errors: Error(io), also when the file has shrunk since it was opened.
  void read(uint64_t begin, uint64_t size, void* out) const;

  // The whole file. Errors: Error(bad_model) when it is empty, over `cap` bytes, or not what was asked for but a
  // Git-LFS pointer, a web page or another kind of file that downloads leave behind; Error(io).
  std::string read_text(uint64_t cap) const;

 private:
  std::string path_;
  int descriptor_;
  uint64_t bytes_;
};

class FolderRoot {
 public:
  // Errors: Error(not_found) when there is no such folder.
  explicit FolderRoot(const std::string& folder);

  const std::string& path() const { return path_; }

  // `name` is relative and may name a sub-folder's file. Returns nothing when there is no such entry.
  // Links are followed inside the folder and, from a Hugging Face cache's models--X/snapshots/REV, into
  // models--X/blobs. Errors: Error(bad_model) for names that are absolute, hold "..", ".", empty parts or control
  // characters, links that lead elsewhere or nowhere, and anything but a regular file; Error(io).
  std::optional<FolderFile> open(const std::string& name) const;

 private:
  std::string path_;                  // as given
  std::string real_;                  // without links
  std::optional<std::string> blobs_;  // of a Hugging Face cache
};

// What `first_bytes` of a file show it to be, when that is neither JSON nor safetensors: "a Git-LFS pointer: …".
std::optional<std::string> foreign_format(std::string_view first_bytes);

}  // namespace penstock
