// The report of a run: design.md §8. JSON for programs, a few lines for people.
#pragma once
#include <optional>
#include <string>

#include "app/flags.h"
#include "app/run_stats.h"
#include "engine/fleet.h"
#include "engine/json.h"

namespace penstock {

// What is measured when the work is done, in this order: the roofline takes memory of its own.
struct AfterRun {
  int64_t peak_host_bytes = 0;
  std::optional<Roofline> roofline;
};
// A roofline that could not be measured is a line on standard error. `fleet` (may be null) must have ended its work.
AfterRun measure_after_run(Fleet* fleet);

struct ReportInput {
  std::string command, model;  // "run", the folder
  const RunStats& stats;
  const StageTimes& times;
  const ModelConfig& config;
  const EngineConfig& engine_config;  // with the fleet's layout, where there is one
  const Fleet* fleet = nullptr;       // null when nothing needed it
  double load_seconds = 0;
  double wall_seconds = 0;  // of the whole run
  double run_seconds = 0;   // of it, with a loaded engine
  int exit_code = 0;
  AfterRun after;
};

// What has not been measured is absent, never zero.
OrderedJson make_report(const ReportInput& input);
std::string format_summary(const ReportInput& input);  // and the times of ops, where some were taken

// Whether they can be written, without changing what they hold. Errors: Error(usage) when both are the same file;
// Error(cannot_create).
void check_report_files(const ReportFiles& files);
// Errors: Error(io).
void write_reports(const ReportInput& input, const ReportFiles& files);

}  // namespace penstock
