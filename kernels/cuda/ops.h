// The bodies of the verbs, each enqueued on `stream`. Activations and the cache are bf16, rows are 16-byte aligned;
// reductions and everything between load and store are f32.
#pragma once
#include <cuda_runtime_api.h>

#include "kernels/backend.h"

namespace penstock::cuda {

void embed(const Embed& op, cudaStream_t stream);
// out = bias, or out += bias with op.accumulate.
void add_bias(const Matmul& op, cudaStream_t stream);
void rms_norm(const RmsNorm& op, cudaStream_t stream);
void add_rms_norm(const AddRmsNorm& op, cudaStream_t stream);
// What the other ranks have of a tensor, rank after rank without this one, in memory of this GPU.
struct OtherParts {
  int rank, ranks;
  Tensor x;  // [(ranks - 1) tokens, hidden]
};
// The same with the sum of op.x and the others' in place of op.x: taken in f32, in rank order, and rounded.
void sum_add_rms_norm(const AddRmsNorm& op, const OtherParts& others, cudaStream_t stream);
void load_sum_add_rms_norm_kernels();  // as load_one_shot_kernels() in peer_group.h
void qk_norm_rope_store(const QkNormRopeStore& op, cudaStream_t stream);
void gated_mul(const GatedMul& op, cudaStream_t stream);
void soft_cap(const SoftCap& op, cudaStream_t stream);
void gather_rows(const GatherRows& op, cudaStream_t stream);
// Brings `bytes` of memory through the cache, so that nothing else stays there; for measurements.
void read_memory(const void* memory, int64_t bytes, cudaStream_t stream);
void copy_blocks(const CopyBlocks& op, cudaStream_t stream);
void accept_drafts(const AcceptDrafts& op, cudaStream_t stream);
void draw_from_table(const DrawFromTable& op, cudaStream_t stream);

}  // namespace penstock::cuda
