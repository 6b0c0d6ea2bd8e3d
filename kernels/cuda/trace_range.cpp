#include "kernels/cuda/make_cuda_backend.h"

#if __has_include(<nvtx3/nvToolsExt.h>)
#include <nvtx3/nvToolsExt.h>

namespace penstock::cuda {
void begin_trace_range(const char* name) { nvtxRangePushA(name); }
void end_trace_range() { nvtxRangePop(); }
}  // namespace penstock::cuda
#else
namespace penstock::cuda {
void begin_trace_range(const char*) {}
void end_trace_range() {}
}  // namespace penstock::cuda
#endif
