// CUDA's errors as ours.
#pragma once
#include <cuda_runtime_api.h>

#include <string>

#include "kernels/error.h"

namespace penstock::cuda {

// Errors: Error(no_device) when memory ran out, Error(internal) otherwise; `what` names the call.
inline void check(cudaError_t status, const char* what) {
  if (status == cudaSuccess) return;
  cudaGetLastError();  // not sticky ones would be reported again by the next call
  ExitCode code = status == cudaErrorMemoryAllocation ? ExitCode::no_device : ExitCode::internal;
  throw Error(code, std::string(what) + ": " + cudaGetErrorString(status));
}

}  // namespace penstock::cuda

#define PENSTOCK_CUDA(call) ::penstock::cuda::check((call), #call)
