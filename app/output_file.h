// A file that only grows by whole lines. What it held before is left alone until the caller says otherwise.
#pragma once
#include <cstdint>
#include <functional>
#include <string>

namespace penstock {

class OutputFile {
 public:
  // Opens `path` ("-": standard output) for appending, creates it, and locks it when it is a regular file. Never
  // truncates. Errors: Error(cannot_create): a directory, no such folder, no permission, locked by another run;
  // Error(stopped_early) when a signal ends the wait for a FIFO's reader.
  explicit OutputFile(const std::string& path);
  ~OutputFile();
  OutputFile(const OutputFile&) = delete;

  // Regular, and named by the user: it can be resumed and cut. Standard output never is.
  bool is_journal() const { return journal_; }
  int descriptor() const { return descriptor_; }
  const std::string& name() const { return name_; }

  // Appends `line` and a newline with one write(), or as many as the system needs. When that fails, what has been
  // written of the line is cut off again where the file can be cut. Errors: Error(io), also when the file is no longer
  // under its name (looked at once a second); Error(stopped_early) when `give_up_when` says so.
  void append(std::string line);

  // Journals only. Errors: Error(io).
  void truncate(int64_t bytes);
  // Puts what `write_content` writes in place of the content, by write, fsync and rename: a crash leaves the old or the
  // new content. The lock is kept. Errors: Error(io), Error(cannot_create).
  void replace(const std::function<void(int descriptor)>& write_content);
  // Where replace() writes first.
  static std::string copy_name(const std::string& path);

  // Everything appended is on the disk afterwards, under its name. Errors: Error(io), also when somebody else has
  // deleted, moved or changed the file meanwhile. After an error nothing is known of the disk, and what the
  // system says of a second fsync() means nothing: so there is none, and each further sync() fails.
  void sync();
  // After sync(); standard output stays open. Errors: Error(io).
  void close();

  // Asked while a write waits for a slow reader: true gives up.
  void give_up_when(std::function<bool()> stop) { give_up_ = std::move(stop); }

 private:
  [[noreturn]] void fail(int error_number);
  void lock(int descriptor);
  void expect_still_ours() const;

  std::string name_;
  std::string path_;
  int descriptor_ = -1;
  bool journal_ = false;
  bool linked_ = false;  // it had a name when it was opened
  int64_t size_ = 0;     // of a journal: the end of its last whole line
  double next_look_ = 0;
  int failed_sync_ = 0;  // errno
  std::function<bool()> give_up_;
};

// Writes all of `bytes`. Returns 0 or an errno: ECANCELED when `give_up`, which may be empty, said so.
int write_all(int descriptor, const char* bytes, size_t size, const std::function<bool()>& give_up);

}  // namespace penstock
