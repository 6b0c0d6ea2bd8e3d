// Records to the output as they finish, or in the order of the input.
#pragma once
#include <cstdint>
#include <map>
#include <string>

#include "app/output_file.h"
#include "engine/stage_timer.h"

namespace penstock {

class RecordWriter {
 public:
  // `errors`: where error records go; null: to `output`. References must outlive the writer.
  RecordWriter(OutputFile& output, OutputFile* errors, bool ordered, StageTimes& times);

  // keys: 0, 1, 2 … in the order of the input, each once. With `ordered` a record waits for those before it: the caller
  // bounds how far apart the keys may be. Errors: Error(io).
  void write(uint64_t key, std::string record, bool is_error);

  int64_t held() const { return static_cast<int64_t>(held_.size()); }  // waiting for their turn
  int64_t held_bytes() const { return held_bytes_; }
  int64_t written() const { return written_; }

 private:
  struct Record {
    std::string text;
    bool is_error;
  };
  void append(Record record);

  OutputFile& output_;
  OutputFile& errors_;
  bool ordered_;
  StageTimes& times_;
  std::map<uint64_t, Record> held_;
  int64_t held_bytes_ = 0, written_ = 0;
  uint64_t next_ = 0;
};

}  // namespace penstock
