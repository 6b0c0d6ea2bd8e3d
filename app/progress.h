// How far the run is, on standard error.
#pragma once
#include <cstdint>

#include "app/flags.h"
#include "app/run_stats.h"

namespace penstock {

class Progress {
 public:
  // `total_bytes`: of the input; 0 when it is not known.
  Progress(ProgressMode mode, uint64_t total_bytes);
  ~Progress();  // ends the bar's line

  // Call as often as is convenient: it writes at most a few times a second (bar) or once in 10 seconds (log).
  void update(const RunStats& stats, uint64_t bytes_read, int64_t in_flight);
  // How long poll() may sleep so that the display stays alive; -1: as long as it likes.
  int poll_milliseconds() const { return interval_ > 0 ? static_cast<int>(interval_ * 1000) : -1; }

 private:
  bool bar_ = false;
  double interval_ = 0;  // seconds; 0: silent
  double next_ = 0;
  double start_;
  uint64_t total_bytes_;
  bool drawn_ = false;
};

}  // namespace penstock
