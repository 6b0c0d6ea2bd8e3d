#include "app/output_file.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <utility>

#include "app/file_identity.h"
#include "engine/stage_timer.h"
#include "engine/system_call.h"
#include "kernels/error.h"

namespace penstock {

namespace {

constexpr double kLookSeconds = 1;

Error cannot_create(const std::string& name, int error_number) {
  return Error(ExitCode::cannot_create, name + ": cannot be written: " + std::strerror(error_number));
}

int open_for_appending(const std::string& path) {
  struct stat info;
  const bool exists = ::stat(path.c_str(), &info) == 0;
  if (exists && S_ISDIR(info.st_mode)) throw cannot_create(path, EISDIR);
  const bool regular = !exists || S_ISREG(info.st_mode);
  // A FIFO or device is opened for writing alone, so that a reader's going away is noticed.
  const int flags = (regular ? O_RDWR | O_CREAT : O_WRONLY) | O_APPEND | O_CLOEXEC | O_NOCTTY;
  const auto open = [&] { return ::open(path.c_str(), flags, 0666); };
  const int descriptor = regular ? uninterrupted(open) : open();
  if (descriptor < 0 && errno == EINTR && !regular)
    throw Error(ExitCode::stopped_early, path + ": stopped while waiting for its reader");
  if (descriptor < 0) throw cannot_create(path, errno);
  return descriptor;
}

// A new name is on the disk only when its folder is. Returns 0 or an errno. Folders that may not be read, and file
// systems that synchronise no folders, have no better to offer.
int sync_folder_of(const std::string& path) {
  const std::string folder = std::filesystem::path(path).parent_path().string();
  const int descriptor =
      uninterrupted([&] { return ::open(folder.empty() ? "." : folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC); });
  if (descriptor < 0) return errno == EACCES ? 0 : errno;
  const int result = uninterrupted([&] { return ::fsync(descriptor); });
  const int error_number = result == 0 || errno == EINVAL || errno == ENOTSUP ? 0 : errno;
  ::close(descriptor);
  return error_number;
}

// A write to anything but a file may wait for its reader, and no signal may be near to end it: so wait here. False when
// `give_up` says so.
bool wait_until_writable(int descriptor, const std::function<bool()>& give_up) {
  pollfd writable{descriptor, POLLOUT, 0};
  while (::poll(&writable, 1, 200) <= 0)
    if (give_up && give_up()) return false;
  return true;
}

}  // namespace

int write_all(int descriptor, const char* bytes, size_t size, const std::function<bool()>& give_up) {
  constexpr int kMaxStalls = 1000;  // as in uninterrupted()
  struct stat info;
  const bool may_block = ::fstat(descriptor, &info) != 0 || !S_ISREG(info.st_mode);
  for (int stalls = 0; size > 0 && stalls < kMaxStalls;) {
    if (may_block && !wait_until_writable(descriptor, give_up)) return ECANCELED;
    // A pipe that is writable takes so much without waiting.
    const ssize_t count = ::write(descriptor, bytes, may_block ? std::min<size_t>(size, PIPE_BUF) : size);
    if (count < 0 && errno != EINTR && errno != EAGAIN) return errno;
    stalls = count > 0 ? 0 : stalls + 1;
    if (count > 0) bytes += count, size -= static_cast<size_t>(count);
    if (count < 0 && give_up && give_up()) return ECANCELED;
  }
  return size == 0 ? 0 : EIO;
}

OutputFile::OutputFile(const std::string& path) : name_(path == "-" ? "standard output" : path), path_(path) {
  struct stat info;
  if (path == "-") {
    const int flags = ::fcntl(STDOUT_FILENO, F_GETFL);
    if (flags < 0 || (flags & O_ACCMODE) == O_RDONLY)
      throw Error(ExitCode::cannot_create, "standard output: it is closed");
    descriptor_ = STDOUT_FILENO;
    linked_ = ::fstat(descriptor_, &info) == 0 && info.st_nlink > 0;
    return;
  }
  descriptor_ = open_for_appending(path);
  try {
    if (::fstat(descriptor_, &info) != 0) throw cannot_create(name_, errno);
    journal_ = S_ISREG(info.st_mode);
    linked_ = info.st_nlink > 0;
    if (journal_) lock(descriptor_);
    // Another run may have replaced the file between our open and our lock, or written its last lines.
    if (journal_ && !same_file(identify(descriptor_), identify(path)))
      throw Error(ExitCode::cannot_create, name_ + ": another run is writing it");
    if (::fstat(descriptor_, &info) != 0) throw cannot_create(name_, errno);
    size_ = info.st_size;
  } catch (...) {
    ::close(descriptor_);
    throw;
  }
}

OutputFile::~OutputFile() {
  if (descriptor_ > STDERR_FILENO) ::close(descriptor_);
}

void OutputFile::lock(int descriptor) {
  if (uninterrupted([&] { return ::flock(descriptor, LOCK_EX | LOCK_NB); }) == 0) return;
  if (errno == EWOULDBLOCK) throw Error(ExitCode::cannot_create, name_ + ": another run is writing it");
  // Lustre mounted without flock, for one: the run is worth more than the check, but the user must know.
  std::fprintf(stderr, "penstock: %s: cannot be locked (%s); a second run on it would not be noticed\n", name_.c_str(),
               std::strerror(errno));
}

void OutputFile::append(std::string line) {
  if (journal_ && monotonic_seconds() >= next_look_) {
    expect_still_ours();
    next_look_ = monotonic_seconds() + kLookSeconds;
  }
  line.push_back('\n');
  if (const int error_number = write_all(descriptor_, line.data(), line.size(), give_up_)) {
    // A torn line would be cut by the next run anyway; cutting it now leaves a file that others can read.
    if (journal_) uninterrupted([&] { return ::ftruncate(descriptor_, size_); });
    fail(error_number);
  }
  size_ += static_cast<int64_t>(line.size());
}

void OutputFile::truncate(int64_t bytes) {
  if (bytes == size_) return;
  if (uninterrupted([&] { return ::ftruncate(descriptor_, bytes); }) != 0) fail(errno);
  size_ = bytes;
}

std::string OutputFile::copy_name(const std::string& path) {
  std::error_code absent;
  const auto target = std::filesystem::canonical(path, absent);  // a link stays a link
  return (absent ? path : target.string()) + ".penstock-new";
}

void OutputFile::replace(const std::function<void(int)>& write_content) {
  const std::string target = std::filesystem::canonical(path_).string(), temporary = copy_name(path_);
  constexpr int kFlags = O_RDWR | O_CREAT | O_TRUNC | O_APPEND | O_NOFOLLOW | O_CLOEXEC;
  const int descriptor = uninterrupted([&] { return ::open(temporary.c_str(), kFlags, 0666); });
  if (descriptor < 0) throw cannot_create(temporary, errno);
  try {
    lock(descriptor);  // before it has the name, so that no other run can come in between
    struct stat old_file;
    if (::fstat(descriptor_, &old_file) != 0 || ::fchmod(descriptor, old_file.st_mode & 07777) != 0) fail(errno);
    write_content(descriptor);
    if (uninterrupted([&] { return ::fsync(descriptor); }) != 0) fail(errno);
    if (uninterrupted([&] { return ::rename(temporary.c_str(), target.c_str()); }) != 0) fail(errno);
  } catch (...) {
    ::close(descriptor);
    ::unlink(temporary.c_str());
    throw;
  }
  ::close(std::exchange(descriptor_, descriptor));
  size_ = ::lseek(descriptor, 0, SEEK_END);
  if (const int error_number = sync_folder_of(target)) fail(error_number);
}

// Records in a file that nobody will find are lost, and so are those that somebody else has cut off.
void OutputFile::expect_still_ours() const {
  struct stat info;
  if (::fstat(descriptor_, &info) != 0) throw Error(ExitCode::io, name_ + ": " + std::strerror(errno));
  if (linked_ && info.st_nlink == 0) throw Error(ExitCode::io, name_ + ": it was deleted while the run was writing it");
  if (!journal_) return;
  if (!same_file(identify(descriptor_), identify(path_)))
    throw Error(ExitCode::io, name_ + ": it was moved or replaced while the run was writing it");
  if (info.st_size != size_)
    throw Error(ExitCode::io, name_ + ": somebody else changed it while the run was writing it");
}

void OutputFile::sync() {
  // Pipes, terminals and some devices cannot be synchronised, and have nothing to lose.
  const auto is_failure = [](int error) { return error != EINVAL && error != EROFS && error != ENOTSUP; };
  if (failed_sync_ == 0 && uninterrupted([&] { return ::fsync(descriptor_); }) != 0 && is_failure(errno))
    failed_sync_ = errno;
  if (failed_sync_ != 0) fail(failed_sync_);
  expect_still_ours();
  if (!journal_) return;
  std::error_code ignored;
  if (const int error_number = sync_folder_of(std::filesystem::canonical(path_, ignored).string())) fail(error_number);
}

void OutputFile::close() {
  if (descriptor_ <= STDERR_FILENO) return;
  // Linux has closed the descriptor even where it says EINTR.
  if (::close(std::exchange(descriptor_, -1)) != 0 && errno != EINTR) fail(errno);
}

void OutputFile::fail(int error_number) {
  if (error_number == ECANCELED) throw Error(ExitCode::stopped_early, name_ + ": stopped while it was being written");
  throw Error(ExitCode::io, name_ + ": " + std::strerror(error_number));
}

}  // namespace penstock
