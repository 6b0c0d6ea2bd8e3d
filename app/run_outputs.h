// The files that a run writes: opened, locked, compared with what an earlier run left, and only then changed.
#pragma once
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "app/flags.h"
#include "app/input_file.h"
#include "app/intake.h"
#include "app/journal.h"
#include "app/output_file.h"

namespace penstock {

class RunOutputs {
 public:
  // Opens and locks the output and the --errors file and reads what they hold; with --retry-errors as if the error
  // records were gone. Sees whether the reports can be written. Changes nothing that is there. Errors: Error(usage)
  // when two of input, outputs, reports and `model_files` are the same file; Error(cannot_create); Error(io).
  RunOutputs(const RunFlags& flags, const ReportFiles& reports, const InputFile& input,
             const std::vector<std::string>& model_files);

  Journal& journal() { return journal_; }
  OutputFile& output() { return *output_; }
  OutputFile* errors() { return errors_.get(); }  // null without --errors

  // Reads all of a regular input and compares: is every id in the outputs the input's, and answered for the same
  // request? Returns how many lines still want an answer; nothing once `stop` says so.
  // Errors: Error(cannot_create) when the outputs belong to another job.
  std::optional<int64_t> count_unanswered(InputFile& input, Intake intake, const std::function<bool()>& stop);

  // Cuts torn lines, takes error records out with --retry-errors, or everything with --overwrite. From here on the
  // files are this run's.
  void begin();

  // After the whole input has been seen. Errors: Error(cannot_create) naming an id that the input lacks.
  void expect_all_ids_seen();

  // As OutputFile's.
  void sync();
  void close();

 private:
  int64_t read(const OutputFile& file);
  void begin(OutputFile& file, int64_t whole_bytes);

  const RunFlags& flags_;
  std::unique_ptr<OutputFile> output_, errors_;
  Journal journal_;
  int64_t output_bytes_ = 0, errors_bytes_ = 0;  // of whole records
};

}  // namespace penstock
