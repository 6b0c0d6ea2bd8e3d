// What Slurm tells a job by its environment.
#pragma once
#include <functional>
#include <optional>

#include "app/flags.h"

namespace penstock {

// getenv(), or a test's own.
using Environment = std::function<const char*(const char* name)>;

// The shard of this task of a job array: index (ID - MIN) / STEP of (MAX - MIN) / STEP + 1, from SLURM_ARRAY_TASK_*.
// Errors: Error(usage) naming the variable that is missing or makes no sense, and for an array whose ids have holes:
// the shards of the ids that it leaves out would never be answered.
Shard array_task_shard(const Environment& environment);

// When the job's time limit ends it, in Unix time: SLURM_JOB_END_TIME. Nothing outside a job, and for the 0 of a job
// without a limit. Errors: Error(usage) for anything but a number.
std::optional<double> job_end_time(const Environment& environment);

}  // namespace penstock
