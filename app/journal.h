// What an output file of an earlier run already answers.
#pragma once
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "app/id_table.h"
#include "app/output_file.h"

namespace penstock {

// "req_" + 32 hex digits, and back.
std::string request_id_text(Hash128 hash);
std::optional<Hash128> parse_request_id(std::string_view text);

// The facts of one output line that a resumed run needs.
struct RecordHead {
  std::string id;  // custom_id for batch lines
  Hash128 request;
  bool is_error = false;
};
// Nothing when `line` is not a record of Penstock.
std::optional<RecordHead> parse_record_head(std::string_view line);

// A file of records, to be read.
struct RecordFile {
  RecordFile(const OutputFile& file);
  RecordFile(int descriptor, const std::string& name, const char* advice);
  int descriptor;
  const std::string& name;
  const char* advice;  // what to do when it is not one, for messages
};
struct RecordLine {
  std::string_view text;
  int64_t number = 0;  // from 1
  int64_t offset = 0;  // of its first byte
};
// Calls `visit` with each whole line. Returns the bytes of whole lines: what follows them must look like the beginning
// of a record that a crash tore. Errors: Error(cannot_create) when it does not; Error(io).
int64_t for_each_line(const RecordFile& file, const std::function<void(const RecordLine&)>& visit);
// Errors: Error(cannot_create) naming the line when it is not a record.
RecordHead expect_record(const RecordFile& file, const RecordLine& line);

class Journal {
 public:
  // Reads all records of `file` (an output may have a second file for its error records). Changes nothing on the disk.
  // With `retry_errors` error records are passed over as if they were not there. Returns the bytes of the whole
  // records: what follows is a line that a crash tore. Errors: Error(cannot_create) for a file that is not a journal or
  // holds an id twice; Error(io).
  int64_t read(const OutputFile& file, bool retry_errors = false);

  // Takes the error records, and a torn line, out of `file` (write, fsync, rename). Returns how many records there
  // were; where there were none nothing is changed.
  static int64_t remove_errors(OutputFile& file);

  enum class Match { unanswered, answered, different };
  // Notes that the input has this id.
  Match match(std::string_view id, Hash128 request);
  // The request that the outputs answer under this id, but for its lowest bit. The id must be there.
  Hash128 request_of(std::string_view id);

  int64_t records() const { return static_cast<int64_t>(table_.size()); }
  int64_t errors() const { return errors_; }
  bool all_matched() const { return matched_ == records(); }
  // An id of `file` that match() has not been asked for. For the message.
  std::optional<std::string> unmatched_id(const OutputFile& file);

 private:
  // The lowest bit of a request hash gives way to "the input has it": 32 bytes a record.
  IdTable<Hash128> table_;
  int64_t matched_ = 0;
  int64_t errors_ = 0;
};

}  // namespace penstock
