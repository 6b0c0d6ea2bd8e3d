// A file that only grows by whole lines. What it held before is left alone until the caller says otherwise.
#pragma once
#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <string>

namespace penstock {

// Which file a descriptor or path stands for, through links. Files that do not exist yet are told apart by their path.
struct FileIdentity {
  dev_t device = 0;
  ino_t inode = 0;
  std::string path;          // of a file that does not exist
  bool has_content = false;  // a regular file or a FIFO: reading and writing the same one is a mistake
};
FileIdentity identify(int descriptor);
FileIdentity identify(const std::string& path);
bool same_file(const FileIdentity& a, const FileIdentity& b);

class OutputFile {
 public:
  // Opens `path` ("-": standard output) for appending, creates it, and locks it when it is a regular file. Never
  // truncates. Errors: Error(cannot_create): a directory, no such folder, no permission, locked by another run.
  explicit OutputFile(const std::string& path);
  ~OutputFile();
  OutputFile(const OutputFile&) = delete;

  // Regular, and named by the user: it can be resumed and cut. Standard output never is.
  bool is_journal() const { return journal_; }
  int descriptor() const { return descriptor_; }
  const std::string& name() const { return name_; }

  // Appends `line` and a newline with one write(), or as many as the system needs. When that fails, what has been
  // written of the line is cut off again where the file can be cut. Errors: Error(io).
  void append(std::string line);

  // Journals only. Errors: Error(io).
  void truncate(int64_t bytes);
  // Puts what `write_content` writes in place of the content, by write, fsync and rename: a crash leaves the old or the
  // new content. The lock is kept.
  void replace(const std::function<void(int descriptor)>& write_content);

  // Everything appended is on the disk afterwards. Errors: Error(io), also when the file has been deleted meanwhile.
  void sync();

  // Asked when a signal interrupts a blocked write(): true gives up with Error(io).
  void give_up_when(std::function<bool()> stop) { give_up_ = std::move(stop); }

 private:
  [[noreturn]] void fail(int error_number);
  void lock(int descriptor);

  std::string name_;
  std::string path_;
  int descriptor_ = -1;
  bool journal_ = false;
  int64_t size_ = 0;  // of a journal: the end of its last whole line
  std::function<bool()> give_up_;
};

// Writes all of `bytes`. Returns 0 or an errno. `give_up` may be empty.
int write_all(int descriptor, const char* bytes, size_t size, const std::function<bool()>& give_up);

}  // namespace penstock
