// CUDA's errors as ours.
#pragma once
#include <cuda_runtime_api.h>

#include <string>

#include "kernels/error.h"

namespace penstock::cuda {

// Whether the GPU, and not what it was given to do, is at fault: no other program will have more luck with it.
inline bool means_gone(cudaError_t status) {
  switch (status) {
    case cudaErrorNoDevice:  // also what calls return once a GPU has fallen off the bus
    case cudaErrorDevicesUnavailable:
    case cudaErrorECCUncorrectable:
    case cudaErrorNvlinkUncorrectable:
    case cudaErrorSystemNotReady:
      return true;
    default:
      return false;
  }
}

// Errors: Error(no_device) when memory ran out, DeviceFault otherwise: of no_device when the GPU is gone. `what` names
// the call.
inline void check(cudaError_t status, const char* what) {
  if (status == cudaSuccess) return;
  cudaGetLastError();  // not sticky ones would be reported again by the next call
  const std::string message = std::string(what) + ": " + cudaGetErrorString(status);
  if (status == cudaErrorMemoryAllocation) throw Error(ExitCode::no_device, message);
  throw DeviceFault(means_gone(status) ? ExitCode::no_device : ExitCode::internal, message);
}

}  // namespace penstock::cuda

#define PENSTOCK_CUDA(call) ::penstock::cuda::check((call), #call)
