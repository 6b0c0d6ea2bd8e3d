#include "kernels/backend.h"
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
