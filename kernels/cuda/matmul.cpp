#include "kernels/cuda/matmul.h"

#include <algorithm>
#include <limits>
#include <string>

#include "kernels/cuda/check.h"
#include "kernels/cuda/cublaslt.h"
#include "kernels/cuda/ops.h"

namespace penstock::cuda {
namespace {

constexpr size_t kCandidates = 16, kLargeCandidates = 5;  // cuBLASLt's own order is good for large products
constexpr int kCallsInRow = 6;                            // in a final timing
constexpr float kWorthAnother = 1.15f;  // times the fastest of a first call: what is slower is not timed again
constexpr int64_t kFlushBytes = int64_t{96} << 20;  // read between calls, so that weights come from memory
constexpr int64_t kFlushBelow = 1024;               // tokens; above, arithmetic decides

void check(cublasStatus_t status, const char* what) {
  if (status == CUBLAS_STATUS_SUCCESS) return;
  const std::string message = std::string(what) + ": " + cublaslt().status_name(status);
  if (status == CUBLAS_STATUS_EXECUTION_FAILED || status == CUBLAS_STATUS_INTERNAL_ERROR)
    throw DeviceFault(ExitCode::internal, message);
  throw Error(status == CUBLAS_STATUS_ALLOC_FAILED ? ExitCode::no_device : ExitCode::internal, message);
}
#define PENSTOCK_CUBLAS(call) check((call), #call)

// What timing needs, on a stream of its own.
struct Stopwatch {
  cudaStream_t stream = nullptr;
  cudaEvent_t begin = nullptr, end = nullptr;
  void* flush = nullptr;

  explicit Stopwatch(bool flushes) {
    PENSTOCK_CUDA(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
    PENSTOCK_CUDA(cudaEventCreate(&begin));
    PENSTOCK_CUDA(cudaEventCreate(&end));
    // Without the memory the cache stays warm, and another algorithm may win.
    if (flushes && cudaMalloc(&flush, kFlushBytes) != cudaSuccess) flush = nullptr, cudaGetLastError();
  }
  ~Stopwatch() {
    cudaFree(flush);
    cudaEventDestroy(begin);
    cudaEventDestroy(end);
    cudaStreamDestroy(stream);
  }
  // Of several calls in a row, as in a step, and of what lies between them.
  template <class Call>
  float milliseconds(int calls, Call call) const {
    PENSTOCK_CUDA(cudaEventRecord(begin, stream));
    for (int i = 0; i < calls; ++i) {
      if (flush) read_memory(flush, kFlushBytes, stream);
      call(stream);
    }
    PENSTOCK_CUDA(cudaEventRecord(end, stream));
    PENSTOCK_CUDA(cudaEventSynchronize(end));
    float elapsed = 0;
    PENSTOCK_CUDA(cudaEventElapsedTime(&elapsed, begin, end));
    return elapsed / static_cast<float>(calls);
  }
};

}  // namespace

// cuBLASLt thinks in columns: to it, a row-major matrix is the transposed one. So out^T [out_features, tokens] =
// weight [in_features, out_features]^T x^T [in_features, tokens].
struct Matmuls::Plan {
  cublasLtMatmulDesc_t product = nullptr;
  cublasLtMatrixLayout_t weight = nullptr, x = nullptr, out = nullptr;
  cublasLtMatmulAlgo_t algorithm{};
  std::vector<cublasLtMatmulAlgo_t> untimed;  // candidates; cuBLASLt's own choice comes first

  explicit Plan(const MatmulShape& shape) {
    PENSTOCK_CUBLAS(cublaslt().desc_create(&product, CUBLAS_COMPUTE_32F, CUDA_R_32F));
    const cublasOperation_t transpose = CUBLAS_OP_T;
    PENSTOCK_CUBLAS(cublaslt().desc_set_attribute(product, CUBLASLT_MATMUL_DESC_TRANSA, &transpose, sizeof transpose));
    PENSTOCK_CUBLAS(
        cublaslt().layout_create(&weight, CUDA_R_16BF, shape.in_features, shape.out_features, shape.in_features));
    PENSTOCK_CUBLAS(cublaslt().layout_create(&x, CUDA_R_16BF, shape.in_features, shape.tokens, shape.x_stride));
    PENSTOCK_CUBLAS(cublaslt().layout_create(&out, shape.out_is_f32 ? CUDA_R_32F : CUDA_R_16BF, shape.out_features,
                                             shape.tokens, shape.out_stride));
  }
  ~Plan() {
    for (cublasLtMatrixLayout_t layout : {weight, x, out})
      if (layout) cublaslt().layout_destroy(layout);
    if (product) cublaslt().desc_destroy(product);
  }
};

Matmuls::Matmuls() { PENSTOCK_CUBLAS(cublaslt().create(&handle_)); }

Matmuls::~Matmuls() {
  plans_.clear();
  if (handle_) cublaslt().destroy(handle_);
}

void Matmuls::run(const Matmul& op, void* workspace, cudaStream_t stream, const std::function<void()>& finish_work) {
  if (op.x.rows == 0) return;
  const MatmulShape shape{.tokens = op.x.rows,
                          .out_features = op.weight.out_features,
                          .in_features = op.weight.in_features,
                          .x_stride = op.x.stride,
                          .out_stride = op.out.stride,
                          .out_is_f32 = op.out.dtype == DType::f32};
  const Plan& plan = plan_for(shape, op, workspace, finish_work);
  // The bias goes first, rounded to out's dtype, and the product is added to it.
  if (op.bias) add_bias(op, stream);
  enqueue(plan, plan.algorithm, op, op.accumulate || op.bias ? 1 : 0, workspace, stream);
}

void Matmuls::enqueue(const Plan& plan, const cublasLtMatmulAlgo_t& algorithm, const Matmul& op, float beta,
                      void* workspace, cudaStream_t stream) const {
  const float one = 1;
  PENSTOCK_CUBLAS(cublaslt().matmul(handle_, plan.product, &one, op.weight.storage.data(), plan.weight, op.x.data,
                                    plan.x, &beta, op.out.data, plan.out, op.out.data, plan.out, &algorithm, workspace,
                                    kWorkspaceBytes, stream));
}

const Matmuls::Plan& Matmuls::plan_for(const MatmulShape& shape, const Matmul& op, void* workspace,
                                       const std::function<void()>& finish_work) {
  std::unique_ptr<Plan>& plan = plans_[shape];
  if (!plan) {
    auto fresh = std::make_unique<Plan>(shape);
    if (const auto known = cache_.find(shape)) {
      fresh->algorithm = *known;
    } else {
      fresh->untimed = candidates(*fresh);
      fresh->algorithm = fresh->untimed[0];
    }
    plan = std::move(fresh);
  }
  // Not while what out holds is wanted.
  if (autotune_ && plan->untimed.size() > 1 && !op.accumulate) {
    finish_work();
    plan->algorithm = fastest(plan->untimed, *plan, op, workspace);
    plan->untimed.clear();
    cache_.remember(shape, plan->algorithm);
  }
  return *plan;
}

std::vector<cublasLtMatmulAlgo_t> Matmuls::candidates(const Plan& plan) const {
  cublasLtMatmulPreference_t preference = nullptr;
  PENSTOCK_CUBLAS(cublaslt().preference_create(&preference));
  const auto workspace = static_cast<uint64_t>(kWorkspaceBytes);
  cublaslt().preference_set_attribute(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &workspace,
                                      sizeof workspace);
  // Parts of a sum meet in f32: in the output's bf16, or by atomics in place, bits would be lost and differ between
  // runs.
  const uint32_t reductions = CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE;
  cublaslt().preference_set_attribute(preference, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, &reductions,
                                      sizeof reductions);
  cublasLtMatmulHeuristicResult_t results[kCandidates];
  int found = 0;
  const cublasStatus_t status = cublaslt().get_heuristic(handle_, plan.product, plan.weight, plan.x, plan.out, plan.out,
                                                         preference, kCandidates, results, &found);
  cublaslt().preference_destroy(preference);
  check(status, "cublasLtMatmulAlgoGetHeuristic");
  std::vector<cublasLtMatmulAlgo_t> algorithms;
  for (int i = 0; i < found; ++i)
    if (results[i].state == CUBLAS_STATUS_SUCCESS) algorithms.push_back(results[i].algo);
  if (algorithms.empty()) throw Error(ExitCode::internal, "matmul: cuBLASLt has no algorithm for this shape");
  return algorithms;
}

cublasLtMatmulAlgo_t Matmuls::fastest(const std::vector<cublasLtMatmulAlgo_t>& algorithms, const Plan& plan,
                                      const Matmul& op, void* workspace) {
  const bool small = op.x.rows < kFlushBelow;
  const Stopwatch stopwatch(small);
  const auto time = [&](const cublasLtMatmulAlgo_t& algorithm, int calls) {
    return stopwatch.milliseconds(calls,
                                  [&](cudaStream_t stream) { enqueue(plan, algorithm, op, 0, workspace, stream); });
  };
  std::vector<float> first;
  for (size_t i = 0; i < std::min(algorithms.size(), small ? kCandidates : kLargeCandidates); ++i) {
    time(algorithms[i], 1);  // loads the kernel
    first.push_back(time(algorithms[i], 1));
  }
  const float limit = kWorthAnother * *std::min_element(first.begin(), first.end());
  float least = std::numeric_limits<float>::max();
  size_t best = 0;
  for (size_t i = 0; i < first.size(); ++i) {
    if (first[i] > limit) continue;
    const float one = small ? time(algorithms[i], kCallsInRow) : first[i];
    if (one < least) least = one, best = i;
  }
  return algorithms[best];
}

}  // namespace penstock::cuda
