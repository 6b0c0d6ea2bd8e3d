#include "app/cpu_limit.h"

#include <sched.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <thread>

namespace penstock {

namespace {

std::string read_file(const std::filesystem::path& path) {
  std::ifstream file(path);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

int affinity_cpus() {
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0) return CPU_COUNT(&set);
  return static_cast<int>(std::thread::hardware_concurrency());
}

// The tightest quota between this process's group and the root.
std::optional<int> cgroup_v2_cpus() {
  std::istringstream lines(read_file("/proc/self/cgroup"));
  std::string group;
  for (std::string line; std::getline(lines, line);)
    if (line.starts_with("0::")) group = line.substr(3);
  std::optional<int> limit;
  const std::filesystem::path root = "/sys/fs/cgroup";
  for (std::filesystem::path at = root / std::filesystem::path(group).relative_path();; at = at.parent_path()) {
    const auto here = parse_cpu_max(read_file(at / "cpu.max"));
    if (here) limit = std::min(*here, limit.value_or(*here));
    if (at == root || at == at.root_path()) return limit;
  }
}

std::optional<int> cgroup_v1_cpus() {
  for (const char* folder : {"/sys/fs/cgroup/cpu", "/sys/fs/cgroup/cpu,cpuacct"}) {
    const std::filesystem::path path = folder;
    const std::string quota = read_file(path / "cpu.cfs_quota_us");
    if (!quota.empty() && quota[0] != '-') return parse_cpu_max(quota + " " + read_file(path / "cpu.cfs_period_us"));
  }
  return std::nullopt;
}

}  // namespace

std::optional<int> parse_cpu_max(std::string_view text) {
  long long quota = 0, period = 0;
  if (std::sscanf(std::string(text).c_str(), "%lld %lld", &quota, &period) != 2) return std::nullopt;
  if (quota <= 0 || period <= 0) return std::nullopt;
  return static_cast<int>((quota + period - 1) / period);
}

int usable_cpus() {
  int cpus = affinity_cpus();
  for (const auto limit : {cgroup_v2_cpus(), cgroup_v1_cpus()})
    if (limit) cpus = std::min(cpus, *limit);
  return std::max(cpus, 1);
}

}  // namespace penstock
