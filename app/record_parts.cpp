#include "app/record_parts.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "engine/json.h"
#include "kernels/error.h"

namespace penstock {

namespace {

constexpr const char* kAdvice = "merge takes the outputs of penstock run, of one job and its shards";
constexpr size_t kMaxParts = 1 << 16;

}  // namespace

class RecordParts::Part {
 public:
  explicit Part(const std::string& path) : name_(path) {
    do descriptor_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    while (descriptor_ < 0 && errno == EINTR);
    if (descriptor_ < 0) throw Error(ExitCode::not_found, path + ": cannot be read: " + std::strerror(errno));
    try {
      check();
    } catch (...) {
      ::close(descriptor_);
      throw;
    }
  }
  ~Part() { ::close(descriptor_); }
  Part(const Part&) = delete;

  RecordFile file() const { return {descriptor_, name_, kAdvice}; }
  const FileIdentity& identity() const { return identity_; }

 private:
  void check() {
    struct stat info;
    if (::fstat(descriptor_, &info) != 0) throw Error(ExitCode::io, name_ + ": " + std::strerror(errno));
    if (S_ISDIR(info.st_mode)) throw Error(ExitCode::not_found, name_ + ": it is a folder");
    if (!S_ISREG(info.st_mode))
      throw Error(ExitCode::usage, name_ + ": a part must be a file: its records are wanted in another order");
    identity_ = identify(descriptor_);
    // Where files cannot be locked a run has said so; its records are whole lines in any case.
    if (::flock(descriptor_, LOCK_SH | LOCK_NB) != 0 && errno == EWOULDBLOCK)
      throw Error(ExitCode::cannot_create, name_ + ": a run is still writing it");
  }

  std::string name_;
  int descriptor_;
  FileIdentity identity_;
};

RecordParts::RecordParts(const std::vector<std::string>& paths) {
  if (paths.size() > kMaxParts) throw Error(ExitCode::usage, "at most " + std::to_string(kMaxParts) + " parts");
  for (const std::string& path : paths) {
    auto part = std::make_unique<Part>(path);
    if (holds_file(part->identity())) throw Error(ExitCode::usage, path + ": the file is named twice");
    parts_.push_back(std::move(part));
  }
}

RecordParts::~RecordParts() = default;

bool RecordParts::holds_file(const FileIdentity& file) const {
  for (const auto& part : parts_)
    if (same_file(part->identity(), file)) return true;
  return false;
}

void RecordParts::read(const std::function<void(const std::string&)>& complain, const std::function<void()>& check) {
  for (size_t part = 0; part < parts_.size(); ++part) {
    const RecordFile file = parts_[part]->file();
    const int64_t whole_bytes = for_each_line(file, [&](const RecordLine& line) {
      check();
      insert(file, line, part, complain);
    });
    struct stat info;
    if (::fstat(file.descriptor, &info) == 0 && info.st_size > whole_bytes)
      complain(file.name + ": its last line is torn and does not count: that shard is not done");
  }
}

void RecordParts::insert(const RecordFile& file, const RecordLine& line, size_t part,
                         const std::function<void(const std::string&)>& complain) {
  const RecordHead head = expect_record(file, line);
  Place place;
  place.offset = static_cast<uint64_t>(line.offset);
  place.part = part;
  place.bytes = line.text.size();
  place.is_error = head.is_error;
  const auto [known, is_new] = places_.insert(hash128(head.id), place);
  if (is_new) {
    ++records_;
    return;
  }
  const std::string& earlier = parts_[known->part]->file().name;
  const std::string here = file.name + ": line " + std::to_string(line.number) + ": ";
  if (parse_record_head(text_at(*known))->request != head.request)
    throw Error(ExitCode::cannot_create, here + "the id " + quote(head.id) +
                                             " is answered for another request, model "
                                             "or setting than in " +
                                             earlier + "; " + file.advice);
  ++duplicates_;
  const bool better = known->is_error && !head.is_error;
  complain(here + "the id " + quote(head.id) + " has a record in " + earlier + " already; " +
           (better ? "this one is the answer and counts" : "that one counts"));
  if (better) *known = place;
}

std::string RecordParts::text_at(const Place& place) const {
  const RecordFile file = parts_[place.part]->file();
  std::string text(place.bytes, '\0');
  for (size_t held = 0; held < text.size();) {
    const ssize_t count =
        ::pread(file.descriptor, text.data() + held, text.size() - held, static_cast<off_t>(place.offset + held));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) throw Error(ExitCode::io, file.name + ": " + std::strerror(errno));
    if (count == 0) throw Error(ExitCode::io, file.name + ": it has become shorter");
    held += static_cast<size_t>(count);
  }
  return text;
}

RecordParts::Taken RecordParts::take(std::string_view id, Record& record) {
  Place missing;
  missing.taken = 1;
  const auto [place, is_new] = places_.insert(hash128(id), missing);
  if (is_new) return Taken::missing;
  if (place->taken) return Taken::taken_before;
  place->taken = 1;
  ++taken_;
  record = {text_at(*place), place->is_error == 1};
  return Taken::record;
}

void RecordParts::expect_all_of(const RecordFile& file) const {
  for_each_line(file, [&](const RecordLine& line) {
    const RecordHead head = expect_record(file, line);
    const Place* place = places_.find(hash128(head.id));
    const auto lost = [&](const std::string& why) {
      return Error(ExitCode::cannot_create, file.name + ": line " + std::to_string(line.number) + ": the id " +
                                                quote(head.id) + why + "; " + file.advice);
    };
    if (!place) throw lost(" is in none of the parts and would be lost");
    if (place->is_error && !head.is_error) throw lost(" is answered here, and an error record in the parts");
    if (parse_record_head(text_at(*place))->request != head.request)
      throw lost(" is answered for another request, model or setting than in the parts");
  });
}

void RecordParts::expect_all_taken() const {
  if (taken_ == records_) return;
  for (const auto& part : parts_) {
    const RecordFile file = part->file();
    for_each_line(file, [&](const RecordLine& line) {
      const RecordHead head = expect_record(file, line);
      if (!places_.find(hash128(head.id))->taken)
        throw Error(ExitCode::cannot_create, file.name + ": line " + std::to_string(line.number) +
                                                 ": the input has no "
                                                 "id " +
                                                 quote(head.id) + "; " + file.advice);
    });
  }
  throw Error(ExitCode::internal, "merge counts records that the parts do not hold");
}

}  // namespace penstock
