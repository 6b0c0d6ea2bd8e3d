#include "kernels/backend.h"
#include "kernels/cpu/cpu_backend.h"

namespace penstock {

std::unique_ptr<Backend> make_backend(const BackendOptions& options) {
  if (options.device == DeviceKind::cpu) return std::make_unique<cpu::CpuBackend>(options);
  throw Error(ExitCode::no_device, "this build has no CUDA support");
}

}  // namespace penstock
