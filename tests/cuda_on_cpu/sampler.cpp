// The CPU's backend, but for what draws tokens, which is the GPU's.
#include "kernels/cpu/cpu_backend.h"
#include "kernels/op_checks.h"
#include "tests/cuda_on_cpu/device_code.h"
//
#include "kernels/cuda/sample.cu"
#include "kernels/cuda/sample_cluster.cu"

namespace penstock {
namespace {

class BackendWithGpuSampler : public cpu::CpuBackend {
 public:
  explicit BackendWithGpuSampler(const BackendOptions& options) : CpuBackend(options), kernels_(options.kernels) {}

  void sample(const Head& op) override {
    check(op);
    if (in_clusters(op)) return cuda::sample_in_clusters(op, nullptr);
    std::vector<char> workspace(cuda::sample_workspace_bytes(op.logits.rows, op.logits.cols));
    cuda::sample(op, workspace.data(), static_cast<int64_t>(workspace.size()), nullptr);
  }
  void score(const Head& op) override {
    check(op);
    if (in_clusters(op)) return cuda::score_in_clusters(op, nullptr);
    cuda::score(op, nullptr, 0, nullptr);
  }

  void find_candidates(const FindCandidates& op) override {
    check(op);
    cuda::find_candidates(op, nullptr);
  }
  void choose_candidates(const ChooseCandidates& op) override {
    check(op);
    cuda::choose_candidates(op, nullptr);
  }
  void settle_candidates(const SettleCandidates& op) override {
    check(op);
    cuda::settle_candidates(op, nullptr);
  }

 private:
  bool in_clusters(const Head& op) const { return kernels_ == KernelChoice::automatic && cuda::fits_cluster(op); }
  KernelChoice kernels_;
};

}  // namespace

std::unique_ptr<Backend> backend_with_gpu_sampler(const BackendOptions& options) {
  return std::make_unique<BackendWithGpuSampler>(options);
}

}  // namespace penstock
