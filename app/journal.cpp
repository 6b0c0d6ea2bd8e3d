#include "app/journal.h"

#include <unistd.h>
#include <xxhash.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <functional>
#include <utility>

#include "engine/json.h"
#include "engine/system_call.h"

namespace penstock {

namespace {

constexpr uint64_t kMaxRecordBytes = uint64_t{4} << 30;

Error not_a_journal(const RecordFile& file, int64_t line, const std::string& why) {
  return Error(ExitCode::cannot_create, file.name + ": line " + std::to_string(line) + " " + why + "; " + file.advice);
}

// Reads the few scalars that matter and keeps nothing of the rest: a record's token ids may be many.
class HeadVisitor : public JsonVisitor {
 public:
  void begin(char bracket) override {
    if (depth_ == 0) is_object_ = bracket == '{';
    if (depth_ == 1) section_ = std::exchange(key_, {});
    if (depth_ == 1 && section_ == "error") has_error_ = true;
    ++depth_;
  }
  void end() override { --depth_; }
  void key(const std::string& name) override {
    if (depth_ <= 2) key_ = name;
  }
  void value(const Json& scalar) override {
    if (depth_ == 1 && scalar.is_string()) {
      if (key_ == "id") id_ = scalar.get<std::string>();
      if (key_ == "custom_id") custom_id_ = scalar.get<std::string>();
    }
    const bool may_hold_request_id = depth_ == 1 || (depth_ == 2 && (section_ == "response" || section_ == "error"));
    if (may_hold_request_id && key_ == "request_id" && scalar.is_string()) request_id_ = scalar.get<std::string>();
    if (depth_ == 2 && section_ == "response" && key_ == "status_code") has_error_ |= scalar != 200;
  }

  std::optional<RecordHead> head() const {
    const auto request = parse_request_id(request_id_);
    if (!is_object_ || !id_ || !request) return std::nullopt;
    return RecordHead{custom_id_.value_or(*id_), *request, has_error_};
  }

 private:
  int depth_ = 0;
  bool is_object_ = false, has_error_ = false;
  std::string key_, section_, request_id_;
  std::optional<std::string> id_, custom_id_;
};

}  // namespace

RecordFile::RecordFile(const OutputFile& file)
    : RecordFile(file.descriptor(), file.name(), "name another output, or start empty with --overwrite") {}
RecordFile::RecordFile(int file, const std::string& called, const char* what_to_do)
    : descriptor(file), name(called), advice(what_to_do) {}

int64_t for_each_line(const RecordFile& file, const std::function<void(const RecordLine&)>& visit) {
  constexpr size_t kReadBytes = 1 << 20;
  std::string buffer;
  size_t searched = 0;
  int64_t offset = 0, whole_bytes = 0, line = 0;
  while (true) {
    const size_t held = buffer.size();
    buffer.resize(held + kReadBytes);
    const ssize_t count =
        uninterrupted([&] { return ::pread(file.descriptor, buffer.data() + held, kReadBytes, offset); });
    if (count < 0) throw Error(ExitCode::io, file.name + ": cannot be read: " + std::strerror(errno));
    buffer.resize(held + static_cast<size_t>(count));
    offset += count;
    if (count == 0) break;
    size_t begin = 0;
    for (size_t newline; (newline = buffer.find('\n', searched)) != std::string::npos; searched = begin = newline + 1)
      visit(
          {std::string_view(buffer).substr(begin, newline - begin), ++line, whole_bytes + static_cast<int64_t>(begin)});
    whole_bytes += static_cast<int64_t>(begin);
    buffer.erase(0, begin);
    searched = buffer.size();
    if (buffer.size() > kMaxRecordBytes) throw not_a_journal(file, line + 1, "is too long to be a record");
  }
  constexpr std::string_view kBeginning = R"({"id":")";
  if (!std::string_view(buffer).starts_with(kBeginning.substr(0, buffer.size())))
    throw not_a_journal(file, line + 1, "is not a record of Penstock");
  return whole_bytes;
}

RecordHead expect_record(const RecordFile& file, const RecordLine& line) {
  auto head = parse_record_head(line.text);
  if (!head) throw not_a_journal(file, line.number, "is not a record of Penstock");
  return *std::move(head);
}

Hash128 hash128(std::string_view bytes) {
  const XXH128_hash_t hash = XXH3_128bits(bytes.data(), bytes.size());
  return {hash.low64, hash.high64};
}

std::string request_id_text(Hash128 hash) {
  char text[40];
  std::snprintf(text, sizeof text, "req_%016llx%016llx", static_cast<unsigned long long>(hash.high),
                static_cast<unsigned long long>(hash.low));
  return text;
}

std::optional<Hash128> parse_request_id(std::string_view text) {
  if (text.size() != 36 || !text.starts_with("req_")) return std::nullopt;
  uint64_t halves[2] = {0, 0};
  for (size_t i = 0; i < 32; ++i) {
    const char c = text[4 + i];
    const int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
    if (digit < 0) return std::nullopt;
    halves[i / 16] = halves[i / 16] << 4 | static_cast<uint64_t>(digit);
  }
  return Hash128{halves[1], halves[0]};
}

std::optional<RecordHead> parse_record_head(std::string_view line) {
  HeadVisitor visitor;
  try {
    scan_json(line, visitor);
  } catch (const JsonError&) {
    return std::nullopt;
  }
  return visitor.head();
}

int64_t Journal::read(const OutputFile& file, bool retry_errors) {
  return for_each_line(file, [&](const RecordLine& line) {
    const RecordHead head = expect_record(file, line);
    if (retry_errors && head.is_error) return;
    const Hash128 unmarked{head.request.low & ~uint64_t{1}, head.request.high};
    if (!table_.insert(hash128(head.id), unmarked).second)
      throw not_a_journal(file, line.number, "holds the id " + quote(head.id) + " a second time");
    errors_ += head.is_error;
  });
}

int64_t Journal::remove_errors(OutputFile& file) {
  int64_t errors = 0;
  for_each_line(file, [&](const RecordLine& line) { errors += expect_record(file, line).is_error; });
  if (errors == 0) return 0;
  file.replace([&](int descriptor) {
    std::string kept;
    const auto flush = [&] {
      if (write_all(descriptor, kept.data(), kept.size(), {}) != 0)
        throw Error(ExitCode::io, file.name() + ": cannot write the copy without error records");
      kept.clear();
    };
    for_each_line(file, [&](const RecordLine& line) {
      if (expect_record(file, line).is_error) return;
      kept.append(line.text).push_back('\n');
      if (kept.size() > 1 << 20) flush();
    });
    flush();
  });
  return errors;
}

Journal::Match Journal::match(std::string_view id, Hash128 request) {
  Hash128* known = table_.find(hash128(id));
  if (!known) return Match::unanswered;
  if ((known->low & ~uint64_t{1}) != (request.low & ~uint64_t{1}) || known->high != request.high)
    return Match::different;
  if ((known->low & 1) == 0) {
    known->low |= 1;
    ++matched_;
  }
  return Match::answered;
}

Hash128 Journal::request_of(std::string_view id) { return *table_.find(hash128(id)); }

std::optional<std::string> Journal::unmatched_id(const OutputFile& file) {
  std::optional<std::string> found;
  for_each_line(file, [&](const RecordLine& line) {
    const auto head = found ? std::nullopt : parse_record_head(line.text);
    if (!head) return;
    const Hash128* known = table_.find(hash128(head->id));
    if (known && (known->low & 1) == 0) found = head->id;
  });
  return found;
}

}  // namespace penstock
