// The file, or standard input, that a command reads.
#pragma once
#include <cstdint>
#include <string>

namespace penstock {

class InputFile {
 public:
  // "-": standard input. Errors: Error(not_found), also for a folder; Error(io) when the system fails;
  // Error(stopped_early) when a signal ends the wait for a FIFO's writer.
  explicit InputFile(const std::string& path);
  ~InputFile();
  InputFile(const InputFile&) = delete;

  int descriptor() const { return descriptor_; }
  const std::string& name() const { return name_; }
  // A regular file can be read twice.
  bool is_regular() const { return regular_; }
  uint64_t bytes() const { return bytes_; }  // of a regular file, from where reading starts; else 0
  void rewind();                             // to where reading started

 private:
  std::string name_;
  int descriptor_;
  bool regular_ = false;
  int64_t start_ = 0;
  uint64_t bytes_ = 0;
};

}  // namespace penstock
