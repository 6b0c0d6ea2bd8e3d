// When a run must have ended, and how long before that it should begin nothing more.
#pragma once
#include <limits>
#include <string>
#include <vector>

#include "app/histogram.h"
#include "app/slurm.h"

namespace penstock {

class Deadline {
 public:
  Deadline() = default;  // never
  // The process must be gone at `end` (at once when that is past); `now`: both monotonic seconds. A small part of what
  // is left is kept for flushing the output and leaving.
  Deadline(double end, double now);

  bool is_set() const { return last_answer_ < std::numeric_limits<double>::infinity(); }
  // Answers that are not there at this moment are left to the next run.
  double last_answer() const { return last_answer_; }

  // What a sequence that began now would need: nine in ten end within this time, a tenth of it being margin.
  // `finished`: durations of sequences that have ended; `running`: how long the others have been running, which is the
  // least that they need. 0 when nothing has been measured.
  static double seconds_wanted(Histogram finished, const std::vector<double>& running);

 private:
  double last_answer_ = std::numeric_limits<double>::infinity();
};

// The end that --deadline and SLURM_JOB_END_TIME give: the earlier one. `flag`: a time from `start` on ("90", "45s",
// "2h30m", "1.5d"), "@" and a Unix time, "none" (neither counts), or empty: only the job's end counts.
// `start`: of the process, monotonic; `now` and `unix_now`: the same moment on both clocks.
// Errors: Error(usage) naming what cannot be read.
Deadline find_deadline(const std::string& flag, const Environment& environment, double start, double now,
                       double unix_now);

// Seconds of "2h30m". Errors: Error(usage).
double parse_duration(const std::string& text);

}  // namespace penstock
