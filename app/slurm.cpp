#include "app/slurm.h"

#include <charconv>
#include <cstring>
#include <string>

#include "engine/json.h"
#include "kernels/error.h"

namespace penstock {

namespace {

constexpr const char* kEndTime = "SLURM_JOB_END_TIME";

std::optional<int64_t> whole_number(const char* text) {
  int64_t value = 0;
  const char* end = text + std::strlen(text);
  const auto [stop, error] = std::from_chars(text, end, value);
  if (error != std::errc() || stop != end || value < 0) return std::nullopt;
  return value;
}

Error shard_error(const std::string& why) {
  return Error(ExitCode::usage, "--shard auto: " + why + "; or name the shard: --shard i/n");
}

int64_t array_number(const Environment& environment, const char* name, int64_t least) {
  const char* text = environment(name);
  if (!text) throw shard_error(std::string(name) + " is not set: it needs a job array (sbatch --array)");
  const auto value = whole_number(text);
  if (!value || *value < least)
    throw shard_error(std::string(name) + " must be a whole number from " + std::to_string(least) + ", not " +
                      quote(text));
  return *value;
}

}  // namespace

Shard array_task_shard(const Environment& environment) {
  const int64_t id = array_number(environment, "SLURM_ARRAY_TASK_ID", 0);
  const int64_t first = array_number(environment, "SLURM_ARRAY_TASK_MIN", 0);
  const int64_t last = array_number(environment, "SLURM_ARRAY_TASK_MAX", first);
  const int64_t step = array_number(environment, "SLURM_ARRAY_TASK_STEP", 1);
  if (id < first || id > last || (id - first) % step != 0)
    throw shard_error("SLURM_ARRAY_TASK_ID=" + std::to_string(id) + " is none of " + std::to_string(first) + "-" +
                      std::to_string(last) + ":" + std::to_string(step));
  const Shard shard{(id - first) / step, (last - first) / step + 1};
  if (environment("SLURM_ARRAY_TASK_COUNT")) {
    const int64_t tasks = array_number(environment, "SLURM_ARRAY_TASK_COUNT", 1);
    if (tasks != shard.count)
      throw shard_error("SLURM_ARRAY_TASK_COUNT=" + std::to_string(tasks) + ", but " + std::to_string(first) + "-" +
                        std::to_string(last) + ":" + std::to_string(step) + " are " + std::to_string(shard.count) +
                        " tasks: the array has holes");
  }
  return shard;
}

std::optional<double> job_end_time(const Environment& environment) {
  const char* text = environment(kEndTime);
  if (!text) return std::nullopt;
  const auto value = whole_number(text);
  if (!value)
    throw Error(ExitCode::usage, std::string(kEndTime) + " must be a Unix time, not " + quote(text) +
                                     "; --deadline none does without it");
  if (*value == 0) return std::nullopt;
  return static_cast<double>(*value);
}

}  // namespace penstock
