#include "app/record_writer.h"

#include <utility>

namespace penstock {

RecordWriter::RecordWriter(OutputFile& output, OutputFile* errors, bool ordered, StageTimes& times)
    : output_(output), errors_(errors ? *errors : output), ordered_(ordered), times_(times) {}

void RecordWriter::write(uint64_t key, std::string record, bool is_error) {
  if (!ordered_) return append({std::move(record), is_error});
  held_bytes_ += static_cast<int64_t>(record.size());
  held_.emplace(key, Record{std::move(record), is_error});
  for (auto first = held_.begin(); first != held_.end() && first->first == next_; first = held_.begin(), ++next_) {
    held_bytes_ -= static_cast<int64_t>(first->second.text.size());
    append(std::move(first->second));
    held_.erase(first);
  }
}

void RecordWriter::append(Record record) {
  const StageTimer timer(times_, Stage::write);
  (record.is_error ? errors_ : output_).append(std::move(record.text));
  ++written_;
}

}  // namespace penstock
