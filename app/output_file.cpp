#include "app/output_file.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>

#include "kernels/error.h"

namespace penstock {

namespace {

bool has_content(mode_t mode) { return S_ISREG(mode) || S_ISFIFO(mode); }

Error cannot_create(const std::string& name, int error_number) {
  return Error(ExitCode::cannot_create, name + ": cannot be written: " + std::strerror(error_number));
}

int open_for_appending(const std::string& path) {
  struct stat info;
  const bool exists = ::stat(path.c_str(), &info) == 0;
  if (exists && S_ISDIR(info.st_mode)) throw cannot_create(path, EISDIR);
  // A FIFO or device is opened for writing alone, so that a reader's going away is noticed.
  const int access = !exists || S_ISREG(info.st_mode) ? O_RDWR | O_CREAT : O_WRONLY;
  const int descriptor = ::open(path.c_str(), access | O_APPEND | O_CLOEXEC | O_NOCTTY, 0666);
  if (descriptor < 0 && errno == EINTR)
    throw Error(ExitCode::stopped_early, path + ": stopped while waiting for its reader");
  if (descriptor < 0) throw cannot_create(path, errno);
  return descriptor;
}

void sync_folder_of(const std::string& path) {
  const std::string folder = std::filesystem::path(path).parent_path().string();
  const int descriptor = ::open(folder.empty() ? "." : folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (descriptor < 0) return;
  ::fsync(descriptor);
  ::close(descriptor);
}

}  // namespace

FileIdentity identify(int descriptor) {
  struct stat info;
  if (::fstat(descriptor, &info) != 0) return {};
  return {info.st_dev, info.st_ino, {}, has_content(info.st_mode)};
}

FileIdentity identify(const std::string& path) {
  struct stat info;
  if (::stat(path.c_str(), &info) == 0) return {info.st_dev, info.st_ino, {}, has_content(info.st_mode)};
  std::error_code ignored;
  return {0, 0, std::filesystem::weakly_canonical(std::filesystem::absolute(path, ignored), ignored).string(), true};
}

bool same_file(const FileIdentity& a, const FileIdentity& b) {
  if (!a.has_content || !b.has_content) return false;
  return a.device == b.device && a.inode == b.inode && a.path == b.path;
}

int write_all(int descriptor, const char* bytes, size_t size, const std::function<bool()>& give_up) {
  while (size > 0) {
    const ssize_t count = ::write(descriptor, bytes, size);
    if (count < 0 && errno != EINTR && errno != EAGAIN) return errno;
    if (count < 0 && errno == EAGAIN) {  // somebody else's O_NONBLOCK
      pollfd writable{descriptor, POLLOUT, 0};
      ::poll(&writable, 1, -1);
    }
    if (count > 0) bytes += count, size -= static_cast<size_t>(count);
    if (size > 0 && give_up && give_up()) return EINTR;
  }
  return 0;
}

OutputFile::OutputFile(const std::string& path) : name_(path == "-" ? "standard output" : path), path_(path) {
  if (path == "-") {
    const int flags = ::fcntl(STDOUT_FILENO, F_GETFL);
    if (flags < 0 || (flags & O_ACCMODE) == O_RDONLY)
      throw Error(ExitCode::cannot_create, "standard output: it is closed");
    descriptor_ = STDOUT_FILENO;
    return;
  }
  descriptor_ = open_for_appending(path);
  struct stat info;
  ::fstat(descriptor_, &info);
  journal_ = S_ISREG(info.st_mode);
  size_ = info.st_size;
  try {
    if (journal_) lock(descriptor_);
    // Another run may have replaced the file between our open and our lock.
    if (journal_ && !same_file(identify(descriptor_), identify(path)))
      throw Error(ExitCode::cannot_create, name_ + ": another run is writing it");
  } catch (...) {
    ::close(descriptor_);
    throw;
  }
}

OutputFile::~OutputFile() {
  if (descriptor_ > STDERR_FILENO) ::close(descriptor_);
}

void OutputFile::lock(int descriptor) {
  int result;
  do result = ::flock(descriptor, LOCK_EX | LOCK_NB);
  while (result != 0 && errno == EINTR);
  if (result == 0) return;
  if (errno == EWOULDBLOCK) throw Error(ExitCode::cannot_create, name_ + ": another run is writing it");
  // Lustre mounted without flock, for one: the run is worth more than the check, but the user must know.
  std::fprintf(stderr, "penstock: %s: cannot be locked (%s); a second run on it would not be noticed\n", name_.c_str(),
               std::strerror(errno));
}

void OutputFile::append(std::string line) {
  line.push_back('\n');
  if (const int error_number = write_all(descriptor_, line.data(), line.size(), give_up_)) {
    // A torn line would be cut by the next run anyway; cutting it now leaves a file that others can read.
    if (journal_ && ::ftruncate(descriptor_, size_) != 0) fail(error_number);
    fail(error_number);
  }
  size_ += static_cast<int64_t>(line.size());
}

void OutputFile::truncate(int64_t bytes) {
  if (bytes == size_) return;
  if (::ftruncate(descriptor_, bytes) != 0) fail(errno);
  size_ = bytes;
}

void OutputFile::replace(const std::function<void(int)>& write_content) {
  const std::string target = std::filesystem::canonical(path_).string();  // a link stays a link
  const std::string temporary = target + ".penstock-new";
  const int descriptor = ::open(temporary.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0666);
  if (descriptor < 0) throw cannot_create(temporary, errno);
  try {
    lock(descriptor);  // before it has the name, so that no other run can come in between
    struct stat old_file;
    if (::fstat(descriptor_, &old_file) != 0 || ::fchmod(descriptor, old_file.st_mode & 07777) != 0) fail(errno);
    write_content(descriptor);
    if (::fsync(descriptor) != 0 || ::rename(temporary.c_str(), target.c_str()) != 0) fail(errno);
  } catch (...) {
    ::close(descriptor);
    ::unlink(temporary.c_str());
    throw;
  }
  sync_folder_of(target);
  ::close(descriptor_);
  descriptor_ = descriptor;
  size_ = ::lseek(descriptor, 0, SEEK_END);
}

void OutputFile::sync() {
  struct stat info;
  if (journal_ && ::fstat(descriptor_, &info) == 0 && info.st_nlink == 0)
    throw Error(ExitCode::io, name_ + ": it was deleted while the run was writing it");
  // Pipes, terminals and some devices cannot be synchronised, and have nothing to lose.
  if (::fsync(descriptor_) != 0 && errno != EINVAL && errno != EROFS && errno != ENOTSUP) fail(errno);
}

void OutputFile::fail(int error_number) {
  throw Error(
      ExitCode::io,
      name_ + ": " + (error_number == EINTR ? "stopped while waiting for its reader" : std::strerror(error_number)));
}

}  // namespace penstock
