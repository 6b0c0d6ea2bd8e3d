#include "app/input_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "kernels/error.h"

namespace penstock {

InputFile::InputFile(const std::string& path)
    : name_(path == "-" ? "standard input" : path), descriptor_(STDIN_FILENO) {
  if (path != "-") {
    do descriptor_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY);
    while (descriptor_ < 0 && errno == EINTR);
  }
  struct stat info;
  if (descriptor_ < 0 || ::fstat(descriptor_, &info) != 0)
    throw Error(ExitCode::not_found, name_ + ": cannot be read: " + std::strerror(errno));
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
