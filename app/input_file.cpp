#include "app/input_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "engine/system_call.h"
#include "kernels/error.h"

namespace penstock {

namespace {

// What is wrong with the name, as against what is wrong with the disk or this process.
bool is_about_the_name(int error_number) {
  const int codes[] = {ENOENT, ENOTDIR, EACCES, EPERM, ELOOP, ENAMETOOLONG, ENXIO, EBADF};
  return std::find(std::begin(codes), std::end(codes), error_number) != std::end(codes);
}

int open_for_reading(const std::string& path) {
  struct stat info;
  const auto open = [&] { return ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY); };
  const bool is_fifo = ::stat(path.c_str(), &info) == 0 && S_ISFIFO(info.st_mode);
  if (!is_fifo) return uninterrupted(open);
  const int descriptor = open();
  if (descriptor < 0 && errno == EINTR)
    throw Error(ExitCode::stopped_early, path + ": stopped while waiting for its writer");
  return descriptor;
}

}  // namespace

InputFile::InputFile(const std::string& path)
    : name_(path == "-" ? "standard input" : path), descriptor_(STDIN_FILENO) {
  if (path != "-") descriptor_ = open_for_reading(path);
  struct stat info;
  if (descriptor_ < 0 || ::fstat(descriptor_, &info) != 0)
    throw Error(is_about_the_name(errno) ? ExitCode::not_found : ExitCode::io,
                name_ + ": cannot be read: " + std::strerror(errno));
  if ((::fcntl(descriptor_, F_GETFL) & O_ACCMODE) == O_WRONLY)
    throw Error(ExitCode::not_found, name_ + ": it is closed");
  if (S_ISDIR(info.st_mode)) throw Error(ExitCode::not_found, name_ + ": it is a folder");
  regular_ = S_ISREG(info.st_mode);
  if (!regular_) return;
  start_ = ::lseek(descriptor_, 0, SEEK_CUR);
  bytes_ = static_cast<uint64_t>(std::max<int64_t>(info.st_size - start_, 0));
}

InputFile::~InputFile() {
  if (descriptor_ > STDERR_FILENO) ::close(descriptor_);
}

void InputFile::rewind() {
  if (::lseek(descriptor_, start_, SEEK_SET) < 0) throw Error(ExitCode::io, name_ + ": " + std::strerror(errno));
}

}  // namespace penstock
