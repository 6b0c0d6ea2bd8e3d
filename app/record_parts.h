// Several files of records as one: where the record of each id stands. 40 bytes a record are kept, and no record.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "app/file_identity.h"
#include "app/id_table.h"
#include "app/journal.h"

namespace penstock {

struct Record {
  std::string text;
  bool is_error = false;
};

class RecordParts {
 public:
  // Opens all files, and keeps runs from writing them as long as it lives. Errors: Error(not_found);
  // Error(usage) for what is no file, or one that is named twice; Error(cannot_create) when a run is writing it.
  explicit RecordParts(const std::vector<std::string>& paths);
  ~RecordParts();

  // Reads all records. Of two for one id the first counts, or the first that is an answer; `complain` is told of the
  // other, and of a torn last line. `check` is called with each record; it may throw.
  // Errors: Error(cannot_create) for a line that is no record, and when two records of an id answer different requests;
  // Error(io).
  void read(const std::function<void(const std::string&)>& complain, const std::function<void()>& check);

  enum class Taken { record, missing, taken_before };
  // The record of `id`, once: asked again, it says taken_before, also of one that is missing.
  Taken take(std::string_view id, Record& record);

  // What `file` holds must be here as well, or be worse: an error record instead of an answer.
  // Errors: Error(cannot_create) naming what would be lost if the parts took the file's place.
  void expect_all_of(const RecordFile& file) const;

  // Errors: Error(cannot_create) naming an id that take() has not been asked for.
  void expect_all_taken() const;

  int64_t duplicates() const { return duplicates_; }
  bool holds_file(const FileIdentity& file) const;

 private:
  class Part;
  struct Place {
    uint64_t offset : 48 = 0, part : 16 = 0;
    uint64_t bytes : 62 = 0, is_error : 1 = 0, taken : 1 = 0;  // no bytes: missing
  };

  void insert(const RecordFile& file, const RecordLine& line, size_t part,
              const std::function<void(const std::string&)>& complain);
  std::string text_at(const Place& place) const;

  std::vector<std::unique_ptr<Part>> parts_;
  mutable IdTable<Place> places_;
  int64_t records_ = 0, taken_ = 0, duplicates_ = 0;
};

}  // namespace penstock
