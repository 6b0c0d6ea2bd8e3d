#include "engine/model/folder_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <memory>
#include <utility>

#include "engine/json.h"
#include "engine/system_call.h"
#include "kernels/error.h"

namespace penstock {
namespace {

namespace fs = std::filesystem;

Error io_error(const std::string& path, const char* verb, int error) {
  return Error(ExitCode::io, path + ": cannot " + verb + ": " + std::strerror(error));
}

void check_name(const std::string& folder, const std::string& name) {
  auto refuse = [&](const char* why) {
    throw Error(ExitCode::bad_model, folder + ": file name " + quote(name) + " " + why);
  };
  if (name.empty()) refuse("is empty");
  if (name.size() > PATH_MAX) refuse("is too long");
  if (std::any_of(name.begin(), name.end(), [](unsigned char c) { return c < 0x20 || c == 0x7F; }))
    refuse("holds a control character");
  if (name.front() == '/') refuse("is absolute; it must stay inside the folder");
  for (size_t begin = 0; begin <= name.size();) {
    size_t end = std::min(name.find('/', begin), name.size());
    std::string_view part(name.data() + begin, end - begin);
    if (part.empty() || part == ".") refuse("is not a plain relative path");
    if (part == "..") refuse("leaves the folder");
    begin = end + 1;
  }
}

const char* kind_of(mode_t mode) {
  if (S_ISDIR(mode)) return "a directory";
  if (S_ISFIFO(mode)) return "a FIFO";
  if (S_ISSOCK(mode)) return "a socket";
  if (S_ISCHR(mode) || S_ISBLK(mode)) return "a device";
  return S_ISLNK(mode) ? "a link" : "something else";
}

void require_regular(const std::string& path, mode_t mode) {
  if (!S_ISREG(mode)) throw Error(ExitCode::bad_model, path + ": is " + kind_of(mode) + ", not a regular file");
}

class Descriptor {
 public:
  explicit Descriptor(int value) : value_(value) {}
  Descriptor(const Descriptor&) = delete;
  ~Descriptor() { reset(-1); }
  int get() const { return value_; }
  int release() { return std::exchange(value_, -1); }
  void reset(int value) {
    if (value_ >= 0) ::close(value_);
    value_ = value;
  }

 private:
  int value_;
};

// Opens base/relative without following any link below `base`: what was checked is what is opened, even when somebody
// swaps a directory for a link in between.
FolderFile open_beneath(const std::string& base, const fs::path& relative, const std::string& path) {
  Descriptor at(uninterrupted([&] { return ::open(base.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC); }));
  if (at.get() < 0) throw io_error(path, "open", errno);
  const auto open_below = [&](const std::string& name, int flags) {
    at.reset(uninterrupted([&] { return ::openat(at.get(), name.c_str(), flags | O_NOFOLLOW | O_CLOEXEC); }));
  };
  for (const fs::path& part : relative.parent_path()) {
    open_below(part, O_PATH | O_DIRECTORY);
    if (at.get() < 0) throw io_error(path, "open", errno);
  }
  std::string last = relative.filename();
  struct stat status;
  // Looked at before it is opened, because opening a device can act on it; and again after, because that counts.
  if (::fstatat(at.get(), last.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) throw io_error(path, "open", errno);
  require_regular(path, status.st_mode);
  open_below(last, O_RDONLY | O_NONBLOCK | O_NOCTTY);
  if (at.get() < 0) throw io_error(path, "open", errno);
  if (::fstat(at.get(), &status) != 0) throw io_error(path, "open", errno);
  require_regular(path, status.st_mode);
  return FolderFile(path, at.release(), static_cast<uint64_t>(status.st_size));
}

// `real` relative to `base`, or nothing when it lies outside. Both are free of links and of "..".
std::optional<fs::path> relative_to(const std::string& real, const std::string& base) {
  std::string prefix = base.ends_with('/') ? base : base + "/";
  if (!real.starts_with(prefix) || real.size() == prefix.size()) return std::nullopt;
  return fs::path(real.substr(prefix.size()));
}

// Errors leave errno set and return nothing.
std::optional<std::string> real_path(const std::string& path) {
  std::unique_ptr<char, decltype(&std::free)> real(::realpath(path.c_str(), nullptr), &std::free);
  if (!real) return std::nullopt;
  return std::string(real.get());
}

}  // namespace

FolderFile::FolderFile(std::string path, int descriptor, uint64_t bytes)
    : path_(std::move(path)), descriptor_(descriptor), bytes_(bytes) {}

FolderFile::FolderFile(FolderFile&& other) noexcept
    : path_(std::move(other.path_)), descriptor_(std::exchange(other.descriptor_, -1)), bytes_(other.bytes_) {}

FolderFile::~FolderFile() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

void FolderFile::read(uint64_t begin, uint64_t size, void* out) const {
  auto* to = static_cast<char*>(out);
  while (size > 0) {
    const ssize_t got = uninterrupted(
        [&] { return ::pread(descriptor_, to, std::min<uint64_t>(size, 1u << 30), static_cast<off_t>(begin)); });
    if (got < 0) throw io_error(path_, "read", errno);
    if (got == 0)
      throw Error(ExitCode::io, path_ + ": ends at byte " + std::to_string(begin) + "; it had " +
                                    std::to_string(bytes_) + " bytes when it was opened");
    to += got;
    begin += static_cast<uint64_t>(got);
    size -= static_cast<uint64_t>(got);
  }
}

std::string FolderFile::read_text(uint64_t cap) const {
  if (bytes_ == 0) throw Error(ExitCode::bad_model, path_ + ": is empty");
  if (bytes_ > cap)
    throw Error(ExitCode::bad_model,
                path_ + ": has " + std::to_string(bytes_) + " bytes; at most " + std::to_string(cap) + " are accepted");
  std::string text(bytes_, '\0');
  read(0, bytes_, text.data());
  if (auto what = foreign_format(text)) throw Error(ExitCode::bad_model, path_ + ": is " + *what);
  return text;
}

FolderRoot::FolderRoot(const std::string& folder) : path_(folder) {
  while (path_.size() > 1 && path_.ends_with('/')) path_.pop_back();
  auto refuse = [&](const std::string& why) { throw Error(ExitCode::not_found, quote(folder) + ": " + why); };
  if (folder.find('\0') != folder.npos) refuse("not a path");
  auto real = real_path(path_);
  if (!real) refuse(std::string("no such model folder: ") + std::strerror(errno));
  real_ = *real;
  std::error_code error;
  if (!fs::is_directory(real_, error)) refuse("is not a folder");

  fs::path snapshots = fs::path(real_).parent_path(), model = snapshots.parent_path();
  if (snapshots.filename() == "snapshots" && model.filename().string().starts_with("models--"))
    blobs_ = (model / "blobs").string();
}

std::optional<FolderFile> FolderRoot::open(const std::string& name) const {
  check_name(path_, name);
  std::string path = path_ + "/" + name;
  auto real = real_path(path);
  if (!real) {
    int error = errno;
    struct stat status;
    bool missing = error == ENOENT || error == ENOTDIR;
    if (missing && ::lstat(path.c_str(), &status) != 0) return std::nullopt;
    if (missing) throw Error(ExitCode::bad_model, path + ": is a link to something that does not exist");
    if (error == ELOOP || error == ENAMETOOLONG) throw Error(ExitCode::bad_model, path + ": " + std::strerror(error));
    throw io_error(path, "open", error);
  }
  if (auto relative = relative_to(*real, real_)) return open_beneath(real_, *relative, path);
  if (blobs_)
    if (auto relative = relative_to(*real, *blobs_)) return open_beneath(*blobs_, *relative, path);
  throw Error(ExitCode::bad_model, path + ": is a link that leaves the model folder (to " + quote(*real) + ")");
}

std::optional<std::string> foreign_format(std::string_view first_bytes) {
  if (first_bytes.starts_with("version https://git-lfs"))
    return "a Git-LFS pointer and not the file itself (fetch it with: git lfs pull)";
  if (first_bytes.starts_with("PK\x03\x04")) return "a ZIP archive (an old PyTorch checkpoint?)";
  if (first_bytes.starts_with("GGUF")) return "a GGUF file";

  std::string start(first_bytes.substr(0, 64));
  start.erase(0, std::min(start.find_first_not_of(" \t\r\n"), start.size()));
  std::transform(start.begin(), start.end(), start.begin(), [](unsigned char c) { return std::tolower(c); });
  if (start.starts_with("<!doctype") || start.starts_with("<html"))
    return "an HTML page (a failed or unauthorised download?)";
  return std::nullopt;
}

}  // namespace penstock
