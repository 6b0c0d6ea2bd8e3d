#include "kernels/cpu/host_memory.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <limits>

namespace penstock::cpu {
namespace {

constexpr int64_t kAlignment = 128, kHugePage = 2 << 20;
constexpr int64_t kUnlimited = std::numeric_limits<int64_t>::max();

// The number in a file that holds only that; nothing there, or "max", is `otherwise`.
int64_t read_number(const std::string& path, int64_t otherwise) {
  std::ifstream file(path);
  int64_t value;
  return file >> value ? value : otherwise;
}

int64_t meminfo_available() {
  std::ifstream file("/proc/meminfo");
  std::string key;
  for (int64_t kib; file >> key >> kib; file.ignore(64, '\n'))
    if (key == "MemAvailable:") return kib * 1024;
  return kUnlimited;
}

// cgroup 2: what is left under the tightest limit from this process's group up to the root.
int64_t cgroup_available() {
  std::ifstream file("/proc/self/cgroup");
  int64_t available = kUnlimited;
  for (std::string line; std::getline(file, line);) {
    if (!line.starts_with("0::")) continue;
    for (std::string group = line.substr(3);;) {
      std::string folder = "/sys/fs/cgroup" + group;
      int64_t limit = read_number(folder + "/memory.max", kUnlimited);
      if (limit != kUnlimited)
        available = std::min(available, std::max<int64_t>(0, limit - read_number(folder + "/memory.current", 0)));
      if (group.size() <= 1) break;
      group.erase(std::max<size_t>(group.rfind('/'), 1));
    }
  }
  return available;
}

}  // namespace

DeviceBuffer allocate_host(int64_t bytes) {
  bool large = bytes >= 2 * kHugePage;
  int64_t alignment = large ? kHugePage : kAlignment;
  if (bytes < 0 || bytes > kUnlimited - alignment) throw Error(ExitCode::no_device, "impossible allocation");
  int64_t rounded = std::max<int64_t>(bytes + alignment - 1, alignment) / alignment * alignment;
  void* data = std::aligned_alloc(alignment, rounded);
  if (!data) throw Error(ExitCode::no_device, "the host has no " + std::to_string(bytes) + " bytes left");
  if (large) madvise(data, rounded, MADV_HUGEPAGE);  // only a wish: without huge pages all is well, but slower
  return DeviceBuffer(data, bytes, [](void* memory, int64_t) { std::free(memory); });
}

int64_t available_host_bytes() { return std::min(meminfo_available(), cgroup_available()); }

}  // namespace penstock::cpu
