// How many CPU threads are worth starting here.
#pragma once
#include <optional>
#include <string_view>

namespace penstock {

// CPUs that this process may run on: the affinity mask, or less where a cgroup's quota is smaller. At least 1.
int usable_cpus();

// The content of a cgroup v2 cpu.max file ("150000 100000" or "max 100000") as CPUs, rounded up. Nothing: no limit.
std::optional<int> parse_cpu_max(std::string_view text);

}  // namespace penstock
