#include "kernels/cuda/topology.h"

#include <algorithm>
#include <vector>

#include "kernels/cuda/check.h"
#include "kernels/cuda/make_cuda_backend.h"

namespace penstock::cuda {
namespace {

std::vector<int> distinct(std::span<const int> devices) {
  std::vector<int> all(devices.begin(), devices.end());
  std::sort(all.begin(), all.end());
  all.erase(std::unique(all.begin(), all.end()), all.end());
  return all;
}

const char* name_of(Link link) {
  switch (link) {
    case Link::same:
      return "itself";
    case Link::nvlink:
      return "NVLink";
    case Link::pcie:
      return "PCIe";
    case Link::none:
      return "none";
  }
  return "?";
}

std::string padded(std::string text) {
  text.resize(std::max<size_t>(text.size(), 8), ' ');
  return text;
}

}  // namespace

// Atomics on a peer's memory are NVLink's alone: that tells the two apart without asking NVML.
Link link_between(int device, int other) {
  if (device == other) return Link::same;
  int reaches = 0, has_atomics = 0;
  PENSTOCK_CUDA(cudaDeviceCanAccessPeer(&reaches, device, other));
  if (!reaches) return Link::none;
  PENSTOCK_CUDA(cudaDeviceGetP2PAttribute(&has_atomics, cudaDevP2PAttrNativeAtomicSupported, device, other));
  return has_atomics ? Link::nvlink : Link::pcie;
}

std::string describe_topology(std::span<const int> devices) {
  const std::vector<int> all = distinct(devices);
  std::string table = padded("");
  for (int other : all) table += padded("GPU " + std::to_string(other));
  for (int device : all) {
    table += "\n" + padded("GPU " + std::to_string(device));
    for (int other : all) table += padded(name_of(link_between(device, other)));
  }
  return table;
}

bool in_one_nvlink_domain(std::span<const int> devices) {
  for (int device : devices)
    for (int other : devices)
      if (link_between(device, other) > Link::nvlink) return false;
  return true;
}

void enable_peer_access(std::span<const int> devices) {
  for (int device : distinct(devices)) {
    PENSTOCK_CUDA(cudaSetDevice(device));
    for (int other : distinct(devices)) {
      if (device == other) continue;
      const cudaError_t status = cudaDeviceEnablePeerAccess(other, 0);
      if (status == cudaErrorPeerAccessAlreadyEnabled)
        cudaGetLastError();
      else
        check(status, "cudaDeviceEnablePeerAccess");
    }
  }
}

}  // namespace penstock::cuda
