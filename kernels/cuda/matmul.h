// Matrix products through cuBLASLt: bf16 in, f32 sums, bf16 or f32 out.
#pragma once
#include <cublasLt.h>
#include <cuda_runtime_api.h>

#include <functional>
#include <map>
#include <memory>
#include <vector>

#include "kernels/backend.h"
#include "kernels/cuda/matmul_cache.h"

namespace penstock::cuda {

// One backend's. A shape's products are made in the way that cuBLASLt expects to be the fastest, until one comes while
// autotuning is on: then its candidates are timed and the fastest is kept, here and in the MatmulCache.
class Matmuls {
 public:
  static constexpr int64_t kWorkspaceBytes = int64_t{64} << 20;

  Matmuls();
  ~Matmuls();
  Matmuls(const Matmuls&) = delete;
  Matmuls& operator=(const Matmuls&) = delete;

  // Enqueued on `stream`, which may be captured. finish_work() waits until nothing is under way that uses the
  // workspace, x or out: a shape is timed on them. Errors: Error(internal) when cuBLASLt has no way to do it.
  void run(const Matmul& op, void* workspace, cudaStream_t stream, const std::function<void()>& finish_work);
  void set_autotune(bool on) { autotune_ = on; }

 private:
  struct Plan;
  const Plan& plan_for(const MatmulShape& shape, const Matmul& op, void* workspace,
                       const std::function<void()>& finish_work);
  std::vector<cublasLtMatmulAlgo_t> candidates(const Plan& plan) const;
  cublasLtMatmulAlgo_t fastest(const std::vector<cublasLtMatmulAlgo_t>& algorithms, const Plan& plan, const Matmul& op,
                               void* workspace);
  void enqueue(const Plan& plan, const cublasLtMatmulAlgo_t& algorithm, const Matmul& op, float beta, void* workspace,
               cudaStream_t stream) const;

  cublasLtHandle_t handle_ = nullptr;
  MatmulCache cache_;
  bool autotune_ = false;
  std::map<MatmulShape, std::unique_ptr<Plan>> plans_;
};

}  // namespace penstock::cuda
