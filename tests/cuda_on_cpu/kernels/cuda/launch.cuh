// Of kernels/cuda/launch.cuh what kernels on the CPU need. The device is a small H200.
#pragma once
#include <cstdlib>

#include "kernels/error.h"
#include "tests/cuda_on_cpu/device.h"

namespace penstock::cuda {

inline int attribute(cudaDeviceAttr which) {
  switch (which) {
    case cudaDevAttrReservedSharedMemoryPerBlock:
      return 1 << 10;
    case cudaDevAttrMaxSharedMemoryPerMultiprocessor:
      return 228 << 10;
    case cudaDevAttrMaxSharedMemoryPerBlockOptin:
      return 227 << 10;
    default:
      throw Error(ExitCode::internal, "cuda_on_cpu: an attribute that it does not know");
  }
}
inline int compute_capability() { return 90; }
template <class... Parameters>
int clusters_at_once(void (*)(Parameters...), unsigned, dim3, size_t) {
  return 2;
}

template <class... Parameters, class... Arguments>
void launch_clusters(void (*kernel)(Parameters...), unsigned cluster, dim3 grid, dim3 block, size_t shared_bytes,
                     cudaStream_t, Arguments&&... arguments) {
  if (shared_bytes > static_cast<size_t>(attribute(cudaDevAttrMaxSharedMemoryPerBlockOptin)))
    throw Error(ExitCode::internal, "cuda_on_cpu: too much shared memory");
  cuda_on_cpu::device().run(grid, static_cast<int>(cluster), static_cast<int>(block.x), shared_bytes,
                            [&] { kernel(arguments...); });
}
template <class... Parameters, class... Arguments>
void launch(void (*kernel)(Parameters...), dim3 grid, dim3 block, size_t shared_bytes, cudaStream_t stream,
            Arguments&&... arguments) {
  launch_clusters(kernel, 1, grid, block, shared_bytes, stream, std::forward<Arguments>(arguments)...);
}

}  // namespace penstock::cuda
