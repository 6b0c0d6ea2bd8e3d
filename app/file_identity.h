// Which files are the same one, whatever names they go by.
#pragma once
#include <sys/types.h>

#include <string>
#include <vector>

namespace penstock {

// What a descriptor or path stands for, through links. Files that do not exist yet are told apart by their path.
struct FileIdentity {
  dev_t device = 0;
  ino_t inode = 0;
  std::string path;          // of a file that does not exist
  bool has_content = false;  // a regular file or a FIFO: reading and writing the same one is a mistake
};
FileIdentity identify(int descriptor);
FileIdentity identify(const std::string& path);
bool same_file(const FileIdentity& a, const FileIdentity& b);

struct NamedFile {
  std::string name;  // for the message: "--output"
  FileIdentity identity;
};
// Each of `written` against the rest of them and against all of `read`. Errors: Error(usage) naming two that are one.
void expect_different_files(const std::vector<NamedFile>& written, const std::vector<NamedFile>& read);

}  // namespace penstock
