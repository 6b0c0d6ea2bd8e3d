// Launches a kernel that begins with wait_for_previous_kernel(): its blocks may be scheduled while the kernel before
// still runs out.
#pragma once
#include <mutex>
#include <utility>

#include "kernels/cuda/check.h"

namespace penstock::cuda {

// Of the current device.
inline int attribute(cudaDeviceAttr which) {
  int device = 0, value = 0;
  PENSTOCK_CUDA(cudaGetDevice(&device));
  PENSTOCK_CUDA(cudaDeviceGetAttribute(&value, which, device));
  return value;
}
inline int multiprocessors() { return attribute(cudaDevAttrMultiProcessorCount); }
inline int compute_capability() {  // 90: sm_90
  return attribute(cudaDevAttrComputeCapabilityMajor) * 10 + attribute(cudaDevAttrComputeCapabilityMinor);
}

// A function's attributes are the process's: on one GPU a rank's launch must not meet those that another has just set.
inline std::mutex launching;

template <class Kernel>
void set_shared_memory(Kernel* kernel, size_t bytes) {
  // Between kernels that share an SM's memory out differently it would have to run empty.
  check(cudaFuncSetAttribute(kernel, cudaFuncAttributePreferredSharedMemoryCarveout, cudaSharedmemCarveoutMaxShared),
        "cudaFuncSetAttribute");
  if (bytes > 0)
    check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(bytes)),
          "cudaFuncSetAttribute");
}

// `cluster`: blocks of a cluster, along x. `early`: what the comment above says.
template <class... Parameters, class... Arguments>
void launch_as(bool early, void (*kernel)(Parameters...), unsigned cluster, dim3 grid, dim3 block, size_t shared_bytes,
               cudaStream_t stream, Arguments&&... arguments) {
  std::lock_guard lock(launching);
  set_shared_memory(kernel, shared_bytes);
  cudaLaunchAttribute attributes[2] = {};
  attributes[0].id = cudaLaunchAttributeProgrammaticStreamSerialization;
  attributes[0].val.programmaticStreamSerializationAllowed = early;
  attributes[1].id = cudaLaunchAttributeClusterDimension;
  attributes[1].val.clusterDim = {cluster, 1, 1};
  cudaLaunchConfig_t config{};
  config.gridDim = grid;
  config.blockDim = block;
  config.dynamicSmemBytes = shared_bytes;
  config.stream = stream;
  config.attrs = attributes;
  config.numAttrs = cluster > 1 ? 2 : 1;
  check(cudaLaunchKernelEx(&config, kernel, static_cast<Parameters>(std::forward<Arguments>(arguments))...),
        "cudaLaunchKernelEx");
}

template <class... Parameters, class... Arguments>
void launch_clusters(void (*kernel)(Parameters...), unsigned cluster, dim3 grid, dim3 block, size_t shared_bytes,
                     cudaStream_t stream, Arguments&&... arguments) {
  launch_as(true, kernel, cluster, grid, block, shared_bytes, stream, std::forward<Arguments>(arguments)...);
}

// So many clusters of that many blocks fit the current device at once.
template <class... Parameters>
int clusters_at_once(void (*kernel)(Parameters...), unsigned cluster, dim3 block, size_t shared_bytes) {
  std::lock_guard lock(launching);
  set_shared_memory(kernel, shared_bytes);
  cudaLaunchAttribute attribute{};
  attribute.id = cudaLaunchAttributeClusterDimension;
  attribute.val.clusterDim = {cluster, 1, 1};
  cudaLaunchConfig_t config{};
  config.gridDim = dim3(cluster);
  config.blockDim = block;
  config.dynamicSmemBytes = shared_bytes;
  config.attrs = &attribute;
  config.numAttrs = 1;
  int count = 0;
  check(cudaOccupancyMaxActiveClusters(&count, kernel, &config), "cudaOccupancyMaxActiveClusters");
  return count;
}

// Behind all that the stream waits for, other streams' work included.
template <class... Parameters, class... Arguments>
void launch_after_all(void (*kernel)(Parameters...), dim3 grid, dim3 block, cudaStream_t stream,
                      Arguments&&... arguments) {
  launch_as(false, kernel, 1, grid, block, 0, stream, std::forward<Arguments>(arguments)...);
}

template <class... Parameters, class... Arguments>
void launch(void (*kernel)(Parameters...), dim3 grid, dim3 block, size_t shared_bytes, cudaStream_t stream,
            Arguments&&... arguments) {
  launch_clusters(kernel, 1, grid, block, shared_bytes, stream, std::forward<Arguments>(arguments)...);
}

// Loads them onto the current device.
template <class... Kernels>
void load_kernels(Kernels*... kernels) {
  cudaFuncAttributes attributes;
  (check(cudaFuncGetAttributes(&attributes, kernels), "cudaFuncGetAttributes"), ...);
}

}  // namespace penstock::cuda
