// What make_backend needs of this folder; no CUDA header comes with it.
#pragma once
#include <memory>

#include "kernels/communicator.h"

namespace penstock::cuda {

int num_gpus();

// As warm_up_gpu.
void warm_up(int index);
// kernels/trace_range.h. Nothing where the toolkit came without NVTX's headers.
void begin_trace_range(const char* name);
void end_trace_range();

// Errors: Error(no_device) without a driver or GPU options.index, Error(usage) for a dtype other than bf16.
std::unique_ptr<Backend> make_cuda_backend(const BackendOptions& options);
bool is_cuda(const Backend& backend);

// As communicator.h says, for backends that make_cuda_backend made.
std::vector<std::unique_ptr<Communicator>> make_cuda_communicators(std::span<Backend* const> ranks,
                                                                   const CommunicatorOptions& options);
std::string describe_topology(std::span<const int> devices);
bool in_one_nvlink_domain(std::span<const int> devices);

}  // namespace penstock::cuda
