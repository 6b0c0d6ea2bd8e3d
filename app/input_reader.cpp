#include "app/input_reader.h"

#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "engine/system_call.h"
#include "kernels/error.h"

namespace penstock {

namespace {

constexpr size_t kReadBytes = 256 << 10;
constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";

bool is_blank(std::string_view text) { return text.find_first_not_of(" \t\r") == std::string_view::npos; }

}  // namespace

InputReader::InputReader(const InputFile& file, uint64_t max_line_bytes)
    : InputReader(file.descriptor(), file.name(), max_line_bytes, file.bytes()) {}

InputReader::InputReader(int descriptor, std::string name, uint64_t max_line_bytes, uint64_t min_bytes)
    : descriptor_(descriptor), name_(std::move(name)), max_line_bytes_(max_line_bytes), min_bytes_(min_bytes) {}

bool InputReader::fill() {
  if (at_end_) return false;
  buffer_.erase(0, begin_);
  searched_ -= begin_;
  begin_ = 0;
  const size_t held = buffer_.size();
  buffer_.resize(held + kReadBytes);
  const ssize_t count = uninterrupted([&] { return ::read(descriptor_, buffer_.data() + held, kReadBytes); });
  if (count < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {  // somebody else's O_NONBLOCK: poll again
    buffer_.resize(held);
    return true;
  }
  if (count < 0) throw Error(ExitCode::io, name_ + ": " + std::strerror(errno));
  buffer_.resize(held + static_cast<size_t>(count));
  bytes_read_ += static_cast<uint64_t>(count);
  at_end_ = count == 0;
  if (at_end_ && bytes_read_ < min_bytes_) throw Error(ExitCode::io, name_ + ": it shrank while it was being read");
  return !at_end_;
}

std::optional<InputLine> InputReader::next() {
  while (true) {
    const size_t newline = buffer_.find('\n', searched_);
    if (newline == std::string::npos) {
      searched_ = buffer_.size();
      skip_overlong(buffer_.size() - begin_);
      const size_t length = buffer_.size() - begin_;
      if (!at_end_ || length + skipped_bytes_ == 0) return std::nullopt;
      if (auto line = take(length, 0)) return line;
      return std::nullopt;
    }
    if (auto line = take(newline - begin_, 1)) return line;
  }
}

// The line at begin_, or nothing when it is blank.
std::optional<InputLine> InputReader::take(size_t length, size_t newline) {
  std::string_view text(buffer_.data() + begin_, length);
  begin_ += length + newline;
  searched_ = begin_;
  const uint64_t bytes = skipped_bytes_ + length;
  skipped_bytes_ = 0;
  if (++line_ == 1 && text.starts_with(kByteOrderMark)) text.remove_prefix(kByteOrderMark.size());
  if (bytes > max_line_bytes_) return InputLine{line_, {}, bytes, true};
  if (is_blank(text)) return std::nullopt;
  return InputLine{line_, text, bytes, false};
}

void InputReader::skip_overlong(size_t length) {
  if (skipped_bytes_ + length <= max_line_bytes_) return;
  skipped_bytes_ += length;
  begin_ = searched_ = buffer_.size();
}

}  // namespace penstock
