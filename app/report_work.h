// The parts of a report that set a run against the device: its work and its roofline, its steps, the times of its ops.
#pragma once
#include <optional>
#include <string>

#include "engine/fleet.h"
#include "engine/json.h"

namespace penstock {

struct WorkInput {
  const EngineStats& stats;
  const StageTimes& times;
  std::optional<Roofline> roofline;  // with weights where they are (roofline_for); absent: not measured
  double run_seconds = 0;
  int32_t replicas = 1;  // whose work and seconds these are, summed
};

// {"prefill", "decode", "sample", "total"}: FLOPs and bytes, in all and a second, and shares of the roofline. A
// `roofline_share` is the least time that the roofline allows, op by op, over the time taken.
OrderedJson report_work(const WorkInput& input);
// By kind and bucket.
OrderedJson report_steps(const WorkInput& input);
OrderedJson report_head_buckets(const EngineStats& stats);
OrderedJson report_idle(const EngineStats& stats);
// Of the timed steps by kind: empty without --profile ops. Times are of a step.
OrderedJson report_profile(const WorkInput& input);
std::string format_profile(const WorkInput& input);

}  // namespace penstock
