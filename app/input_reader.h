// The lines of a file or a pipe, in bounded memory.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "app/input_file.h"

namespace penstock {

struct InputLine {
  int64_t number = 0;     // from 1; blank lines count
  std::string_view text;  // without its newline; empty when too_long. Lasts until the next call of the reader
  uint64_t bytes = 0;     // of the whole line
  bool too_long = false;
};

// Usage: take lines with next() until it gives none; then fill() when poll() says that there is something to read.
// A byte order mark before the first line is dropped. Lines of white space alone are skipped. A last line needs no
// newline. Nothing else is looked at: NUL bytes and broken UTF-8 are the parser's.
class InputReader {
 public:
  // From where `file` stands. It must outlive the reader.
  InputReader(const InputFile& file, uint64_t max_line_bytes);
  // Does not own `descriptor`. `name` is for messages. An input that ends before `min_bytes` has been cut meanwhile.
  InputReader(int descriptor, std::string name, uint64_t max_line_bytes, uint64_t min_bytes = 0);

  // A complete line out of what has been read.
  std::optional<InputLine> next();

  // One read(); false at the end of the input. After the end, next() gives the last line, if it had no newline.
  // Errors: Error(io), also when the input shrank: half a line is not a line.
  bool fill();

  bool at_end() const { return at_end_; }  // of the input; lines may still be in the buffer
  bool drained() const { return begin_ == buffer_.size() && skipped_bytes_ == 0; }
  int descriptor() const { return descriptor_; }
  uint64_t bytes_read() const { return bytes_read_; }

 private:
  std::optional<InputLine> take(size_t length, size_t newline);
  void skip_overlong(size_t length);

  int descriptor_;
  std::string name_;
  uint64_t max_line_bytes_;
  uint64_t min_bytes_;
  std::string buffer_;
  size_t begin_ = 0;            // of what next() has not given yet
  size_t searched_ = 0;         // buffer_[begin_, searched_) holds no newline
  uint64_t skipped_bytes_ = 0;  // of an over-long line, dropped from the buffer
  uint64_t bytes_read_ = 0;
  int64_t line_ = 0;
  bool at_end_ = false;
};

}  // namespace penstock
