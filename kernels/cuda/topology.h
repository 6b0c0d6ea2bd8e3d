// Which GPUs reach each other's memory, and how fast.
#pragma once
#include <span>
#include <string>

namespace penstock::cuda {

enum class Link { same, nvlink, pcie, none };  // pcie: peer access that is not over NVLink

Link link_between(int device, int other);

// So that each of them may use pointers into the others' memory. All are connected by something.
void enable_peer_access(std::span<const int> devices);

}  // namespace penstock::cuda
