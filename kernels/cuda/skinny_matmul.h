// Matrix products of few tokens, which the bytes of the weight bound.
#pragma once
#include <cuda_runtime_api.h>

#include "kernels/backend.h"

namespace penstock::cuda {

// Whether skinny_matmul takes this product: up to 8 tokens that fit in shared memory, in rows 16-byte aligned.
bool is_skinny(const Matmul& op);

// Enqueued on `stream`. A row's bits depend on nothing but that row and the weight: the order of its sum is fixed.
void skinny_matmul(const Matmul& op, cudaStream_t stream);
// Likewise; op.gate_up is not touched, gate and up are not rounded. For products that are skinny, mlp a multiple of 4.
void skinny_gated_matmul(const GatedMatmul& op, cudaStream_t stream);

}  // namespace penstock::cuda
