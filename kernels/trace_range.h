// A named span of this thread's time, for a profiler that watches the process (NVTX, in builds with CUDA); else
// nothing. Spans of one thread nest.
#pragma once

namespace penstock {

void begin_trace_range(const char* name);
void end_trace_range();

class TraceRange {
 public:
  explicit TraceRange(const char* name) { begin_trace_range(name); }
  ~TraceRange() { end_trace_range(); }
  TraceRange(const TraceRange&) = delete;
};

}  // namespace penstock
