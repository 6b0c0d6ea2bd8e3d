#include "app/run_outputs.h"

#include <utility>
#include <vector>

#include "engine/json.h"

namespace penstock {

namespace {

FileIdentity identify_output(const std::string& path) { return path == "-" ? identify(1) : identify(path); }

void expect_different_files(const RunFlags& flags, const ReportFiles& reports, const InputFile& input) {
  std::vector<std::pair<std::string, FileIdentity>> files;
  files.emplace_back("--input", identify(input.descriptor()));
  files.emplace_back("--output", identify_output(flags.output));
  if (!flags.errors.empty()) files.emplace_back("--errors", identify_output(flags.errors));
  if (!reports.json.empty()) files.emplace_back("--report", identify(reports.json));
  if (!reports.html.empty()) files.emplace_back("--report-html", identify(reports.html));
  for (size_t a = 0; a < files.size(); ++a)
    for (size_t b = a + 1; b < files.size(); ++b)
      if (same_file(files[a].second, files[b].second))
        throw Error(ExitCode::usage, files[a].first + " and " + files[b].first + " are the same file");
}

}  // namespace

RunOutputs::RunOutputs(const RunFlags& flags, const ReportFiles& reports, const InputFile& input) {
  expect_different_files(flags, reports, input);
  output_ = std::make_unique<OutputFile>(flags.output);
  if (!flags.errors.empty()) errors_ = std::make_unique<OutputFile>(flags.errors);
  output_bytes_ = read(*output_, flags);
  if (errors_) errors_bytes_ = read(*errors_, flags);
}

int64_t RunOutputs::read(OutputFile& file, const RunFlags& flags) {
  if (!file.is_journal() || flags.overwrite) return 0;
  if (flags.retry_errors) Journal::remove_errors(file);
  return journal_.read(file);
}

std::optional<int64_t> RunOutputs::count_unanswered(InputFile& input, Intake intake,
                                                    const std::function<bool()>& stop) {
  InputReader reader(input.descriptor(), input.name(), intake.max_line_bytes());
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
  if (output_->is_journal()) output_->truncate(output_bytes_);
  if (errors_ && errors_->is_journal()) errors_->truncate(errors_bytes_);
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

}  // namespace penstock
