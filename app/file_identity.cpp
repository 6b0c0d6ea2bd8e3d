#include "app/file_identity.h"

#include <sys/stat.h>

#include <filesystem>

#include "kernels/error.h"

namespace penstock {

namespace {

FileIdentity identity_of(const struct stat& info) {
  return {info.st_dev, info.st_ino, {}, S_ISREG(info.st_mode) || S_ISFIFO(info.st_mode)};
}

void expect_different(const NamedFile& a, const NamedFile& b) {
  if (same_file(a.identity, b.identity)) throw Error(ExitCode::usage, a.name + " and " + b.name + " are the same file");
}

}  // namespace

FileIdentity identify(int descriptor) {
  struct stat info;
  return ::fstat(descriptor, &info) == 0 ? identity_of(info) : FileIdentity();
}

FileIdentity identify(const std::string& path) {
  struct stat info;
  if (::stat(path.c_str(), &info) == 0) return identity_of(info);
  std::error_code ignored;
  return {0, 0, std::filesystem::weakly_canonical(std::filesystem::absolute(path, ignored), ignored).string(), true};
}

bool same_file(const FileIdentity& a, const FileIdentity& b) {
  if (!a.has_content || !b.has_content) return false;
  return a.device == b.device && a.inode == b.inode && a.path == b.path;
}

void expect_different_files(const std::vector<NamedFile>& written, const std::vector<NamedFile>& read) {
  for (size_t a = 0; a < written.size(); ++a) {
    for (const NamedFile& other : read) expect_different(other, written[a]);
    for (size_t b = a + 1; b < written.size(); ++b) expect_different(written[a], written[b]);
  }
}

}  // namespace penstock
