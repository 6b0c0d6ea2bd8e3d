// What a GPU holds for a whole run: weights and scratch memory.
#include <algorithm>
#include <vector>

#include "kernels/cuda/check.h"
#include "kernels/cuda/cuda_backend.h"
#include "kernels/cuda/event_moment.h"
#include "kernels/cuda/paged_attention.h"
#include "kernels/cuda/sample.h"

namespace penstock::cuda {

// --- weights --------------------------------------------------------------------------------------------------------

int64_t CudaBackend::weight_bytes(int64_t out_features, int64_t in_features, DType) const {
  return out_features * in_features * dtype_bytes(DType::bf16);
}

Weight CudaBackend::allocate_weight(int64_t out_features, int64_t in_features, DType checkpoint) {
  return {.storage = allocate(weight_bytes(out_features, in_features, checkpoint)),
          .dtype = DType::bf16,
          .out_features = out_features,
          .in_features = in_features};
}

// Whoever waits for a copy sleeps: its core has other parts of the file to read.
std::unique_ptr<Moment> CudaBackend::store_weight_later(Weight& weight, int64_t first_row, const HostMatrix& part) {
  if (part.cols != weight.in_features || first_row < 0 || first_row + part.rows > weight.out_features)
    throw Error(ExitCode::internal, "store_weight: the part does not lie in the weight");
  PENSTOCK_CUDA(cudaSetDevice(index_));
  std::vector<uint16_t> narrow(part.dtype == DType::bf16 ? 0 : static_cast<size_t>(part.rows * part.cols));
  const HostMatrix from = part.narrowed(narrow.data());
  uint16_t* to = weight.storage.as<uint16_t>() + first_row * part.cols;
  const auto width = static_cast<size_t>(part.cols) * 2, rows = static_cast<size_t>(part.rows);
  if (from.row_stride == from.cols)
    PENSTOCK_CUDA(cudaMemcpyAsync(to, from.data, width * rows, cudaMemcpyHostToDevice, weight_stream_));
  else
    PENSTOCK_CUDA(cudaMemcpy2DAsync(to, width, from.data, static_cast<size_t>(from.row_stride) * 2, width, rows,
                                    cudaMemcpyHostToDevice, weight_stream_));
  auto stored = std::make_unique<EventMoment>(weight_stream_, cudaEventBlockingSync);
  if (!narrow.empty()) stored->wait();  // `narrow` ends here
  return stored;
}

std::unique_ptr<Moment> CudaBackend::store_vector_later(float* vector, std::span<const float> part) {
  PENSTOCK_CUDA(cudaSetDevice(index_));
  PENSTOCK_CUDA(cudaMemcpyAsync(vector, part.data(), part.size_bytes(), cudaMemcpyHostToDevice, weight_stream_));
  return std::make_unique<EventMoment>(weight_stream_, cudaEventBlockingSync);
}

// --- scratch memory -------------------------------------------------------------------------------------------------

namespace {

int64_t attention_bytes(const StepShape& s) {
  return paged_attention_workspace_bytes(s.tokens, s.rows, s.heads, s.kv_heads, s.head_dim);
}
// Products and the head run one after the other.
int64_t shared_bytes(const StepShape& s) {
  return std::max(Matmuls::kWorkspaceBytes, sample_workspace_bytes(s.head_rows, s.vocab));
}

}  // namespace

int64_t CudaBackend::workspace_bytes(const StepShape& largest) const {
  PENSTOCK_CUDA(cudaSetDevice(index_));
  return attention_bytes(largest) + shared_bytes(largest);
}

void CudaBackend::reserve_workspace(const StepShape& largest) {
  PENSTOCK_CUDA(cudaSetDevice(index_));
  reserve(attention_workspace_, attention_bytes(largest));
  reserve(workspace_, shared_bytes(largest));
}

}  // namespace penstock::cuda
