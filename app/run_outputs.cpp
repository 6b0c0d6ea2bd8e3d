#include "app/run_outputs.h"

#include "app/file_identity.h"
#include "app/report.h"
#include "engine/json.h"

namespace penstock {

namespace {

FileIdentity identify_output(const std::string& path) { return path == "-" ? identify(1) : identify(path); }

void expect_own_files(const RunFlags& flags, const ReportFiles& reports, const InputFile& input,
                      const std::vector<std::string>& model_files) {
  std::vector<NamedFile> written, read{{"--input", identify(input.descriptor())}};
  for (const std::string& name : model_files) read.push_back({"the model's " + name, identify(name)});
  const auto add_output = [&](const std::string& flag, const std::string& path) {
    written.push_back({flag, identify_output(path)});
    if (!flags.retry_errors || path == "-") return;
    const std::string copy = OutputFile::copy_name(path);
    written.push_back({"the copy of " + flag + " (" + copy + ")", identify(copy)});
  };
  add_output("--output", flags.output);
  if (!flags.errors.empty()) add_output("--errors", flags.errors);
  if (!reports.json.empty()) written.push_back({"--report", identify(reports.json)});
  if (!reports.html.empty()) written.push_back({"--report-html", identify(reports.html)});
  expect_different_files(written, read);
}

}  // namespace

RunOutputs::RunOutputs(const RunFlags& flags, const ReportFiles& reports, const InputFile& input,
                       const std::vector<std::string>& model_files)
    : flags_(flags) {
  expect_own_files(flags, reports, input, model_files);
  output_ = std::make_unique<OutputFile>(flags.output);
  if (!flags.errors.empty()) errors_ = std::make_unique<OutputFile>(flags.errors);
  check_report_files(reports);
  // Once more, now that all exist: a link to a file that did not exist yet had a name of its own.
  expect_own_files(flags, reports, input, model_files);
  output_bytes_ = read(*output_);
  if (errors_) errors_bytes_ = read(*errors_);
}

int64_t RunOutputs::read(const OutputFile& file) {
  return file.is_journal() && !flags_.overwrite ? journal_.read(file, flags_.retry_errors) : 0;
}

std::optional<int64_t> RunOutputs::count_unanswered(InputFile& input, Intake intake,
                                                    const std::function<bool()>& stop) {
  InputReader reader(input, intake.max_line_bytes());
  int64_t unanswered = 0;
  do {
    while (const auto line = reader.next()) {
      const auto taken = intake.take(*line);
      unanswered += !std::holds_alternative<PassedOver>(taken);
    }
    if (stop()) return std::nullopt;
  } while (reader.fill() || !reader.drained());
  input.rewind();
  expect_all_ids_seen();
  return unanswered;
}

void RunOutputs::begin() {
  begin(*output_, output_bytes_);
  if (errors_) begin(*errors_, errors_bytes_);
}

void RunOutputs::begin(OutputFile& file, int64_t whole_bytes) {
  if (!file.is_journal()) return;
  const bool replaced = flags_.retry_errors && !flags_.overwrite && Journal::remove_errors(file) > 0;
  if (!replaced) file.truncate(whole_bytes);
}

void RunOutputs::expect_all_ids_seen() {
  if (journal_.all_matched()) return;
  for (OutputFile* file : {output_.get(), errors_.get()}) {
    if (!file || !file->is_journal()) continue;
    if (const auto id = journal_.unmatched_id(*file))
      throw Error(ExitCode::cannot_create, file->name() + ": holds the id " + quote(*id) +
                                               ", which this input (or shard) lacks; name another output, or start "
                                               "empty with --overwrite");
  }
  throw Error(ExitCode::internal, "the journal counts ids that the output does not hold");
}

void RunOutputs::sync() {
  output_->sync();
  if (errors_) errors_->sync();
}

void RunOutputs::close() {
  output_->close();
  if (errors_) errors_->close();
}

}  // namespace penstock
