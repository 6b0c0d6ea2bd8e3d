// Attention over the paged cache, on tensor cores: bf16 in and out, f32 scores, softmax and sums.
#pragma once
#include <cuda_runtime_api.h>

#include "kernels/backend.h"

namespace penstock::cuda {

// Device memory that paged_attention needs on the current device for steps of up to `tokens` and `rows`.
int64_t paged_attention_workspace_bytes(int64_t tokens, int64_t rows, int64_t heads, int64_t kv_heads,
                                        int64_t head_dim);

// Enqueued on `stream`; may be captured. What is launched depends on the step's tokens and rows and on the shapes
// alone: lengths, positions and tables are read on the device. head_dim: a multiple of 8 up to 256; block_size: a power
// of two, 16 or more; scale > 0. The workspace is 128-byte aligned, its contents do not matter; it must not be shared
// with calls that may run at the same time. Errors: Error(internal).
void paged_attention(const PagedAttention& op, void* workspace, int64_t workspace_bytes, cudaStream_t stream);

}  // namespace penstock::cuda
