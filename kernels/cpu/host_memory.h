// Memory of the CPU backend.
#pragma once
#include "kernels/device_buffer.h"

namespace penstock::cpu {

// At least 128-byte aligned; large pieces lie on huge pages where the system offers them. Error(no_device) when
// refused.
DeviceBuffer allocate_host(int64_t bytes);

// What the machine, or the cgroup that this process is in, can still give.
int64_t available_host_bytes();

}  // namespace penstock::cpu
