#include "kernels/backend.h"
#include "kernels/communicator.h"
#include "kernels/cpu/cpu_backend.h"
#include "kernels/trace_range.h"
#ifdef PENSTOCK_CUDA
#include "kernels/cuda/make_cuda_backend.h"
#endif

namespace penstock {

int num_gpus() {
#ifdef PENSTOCK_CUDA
  return cuda::num_gpus();
#else
  return 0;
#endif
}

void warm_up_gpu([[maybe_unused]] int index) {
#ifdef PENSTOCK_CUDA
  cuda::warm_up(index);
#endif
}

std::unique_ptr<Backend> make_backend(const BackendOptions& options) {
  if (options.device == DeviceKind::cpu) return std::make_unique<cpu::CpuBackend>(options);
#ifdef PENSTOCK_CUDA
  return cuda::make_cuda_backend(options);
#else
  throw Error(ExitCode::no_device, "this build has no CUDA support");
#endif
}

std::vector<std::unique_ptr<Communicator>> make_communicators(std::span<Backend* const> ranks,
                                                              [[maybe_unused]] const CommunicatorOptions& options) {
#ifdef PENSTOCK_CUDA
  if (ranks.size() > 1 && cuda::is_cuda(*ranks[0])) return cuda::make_cuda_communicators(ranks, options);
#endif
  return make_thread_communicators(static_cast<int>(ranks.size()));
}

std::string describe_topology([[maybe_unused]] std::span<const int> devices) {
#ifdef PENSTOCK_CUDA
  return cuda::describe_topology(devices);
#else
  return {};
#endif
}

bool in_one_nvlink_domain(std::span<const int> devices) {
  if (devices.size() < 2) return true;
#ifdef PENSTOCK_CUDA
  return cuda::in_one_nvlink_domain(devices);
#else
  return false;
#endif
}

void begin_trace_range([[maybe_unused]] const char* name) {
#ifdef PENSTOCK_CUDA
  cuda::begin_trace_range(name);
#endif
}

void end_trace_range() {
#ifdef PENSTOCK_CUDA
  cuda::end_trace_range();
#endif
}

}  // namespace penstock
