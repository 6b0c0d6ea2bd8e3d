// The verbs of a GPU's backend: which kernel each of them is.
#include <vector>

#include "kernels/cuda/cuda_backend.h"
#include "kernels/cuda/ops.h"
#include "kernels/cuda/paged_attention.h"
#include "kernels/cuda/sample.h"
#include "kernels/cuda/skinny_matmul.h"
#include "kernels/op_checks.h"

namespace penstock::cuda {

void CudaBackend::embed(const Embed& op) {
  check(op, DType::bf16);
  cuda::embed(op, stream());
}

void CudaBackend::matmul(const Matmul& op) {
  check(op, DType::bf16);
  const cudaStream_t on = stream();
  if (takes_hopper_kernels() && is_skinny(op)) return skinny_matmul(op, on);
  matmuls_.run(op, reserve(workspace_, Matmuls::kWorkspaceBytes), on, [this] { finish_work(); });
}

void CudaBackend::rms_norm(const RmsNorm& op) {
  check(op, DType::bf16);
  cuda::rms_norm(op, stream());
}

void CudaBackend::add_rms_norm(const AddRmsNorm& op) {
  check(op, DType::bf16);
  cuda::add_rms_norm(op, stream());
}

void CudaBackend::qk_norm_rope_store(const QkNormRopeStore& op) {
  check(op, DType::bf16);
  cuda::qk_norm_rope_store(op, stream());
}

void CudaBackend::paged_attention(const PagedAttention& op) {
  check(op, DType::bf16);
  const int64_t bytes =
      paged_attention_workspace_bytes(op.step.tokens, op.step.rows, op.heads, op.cache.kv_heads, op.cache.head_dim);
  void* memory = reserve(attention_workspace_, bytes);
  const AttentionPlanKey key(op, memory);
  attention_launches_ = planned_ == key ? attention_launches_ + 1 : 0;
  cuda::paged_attention(op, {.memory = memory, .bytes = bytes, .launches = attention_launches_}, stream());
  planned_ = key;
}

void CudaBackend::gated_mul(const GatedMul& op) {
  check(op, DType::bf16);
  cuda::gated_mul(op, stream());
}

void CudaBackend::gated_matmul(const GatedMatmul& op) {
  const Matmul product{op.gate_up, op.x, op.weight, op.bias};
  check(product, DType::bf16);
  check(GatedMul{op.out, op.gate_up, op.activation}, DType::bf16);
  if (!takes_hopper_kernels() || !is_skinny(product)) return Backend::gated_matmul(op);
  skinny_gated_matmul(op, stream());
}

void CudaBackend::soft_cap(const SoftCap& op) {
  check(op);
  cuda::soft_cap(op, stream());
}

void CudaBackend::gather_rows(const GatherRows& op) {
  check(op, DType::bf16);
  cuda::gather_rows(op, stream());
}

void CudaBackend::sample(const Head& op) {
  check(op);
  if (takes_hopper_kernels() && fits_cluster(op)) return sample_in_clusters(op, stream());
  const int64_t bytes = sample_workspace_bytes(op.logits.rows, op.logits.cols);
  cuda::sample(op, reserve(workspace_, bytes), bytes, stream());
}

void CudaBackend::score(const Head& op) {
  check(op);
  if (takes_hopper_kernels() && fits_cluster(op)) return score_in_clusters(op, stream());
  const int64_t bytes = sample_workspace_bytes(op.logits.rows, op.logits.cols);
  cuda::score(op, reserve(workspace_, bytes), bytes, stream());
}

void CudaBackend::accept_drafts(const AcceptDrafts& op) {
  check(op);
  cuda::accept_drafts(op, stream());
}

void CudaBackend::draw_from_table(const DrawFromTable& op) {
  check(op);
  cuda::draw_from_table(op, stream());
}

void CudaBackend::find_candidates(const FindCandidates& op) {
  check(op);
  cuda::find_candidates(op, stream());
}

void CudaBackend::choose_candidates(const ChooseCandidates& op) {
  check(op);
  cuda::choose_candidates(op, stream());
}

void CudaBackend::settle_candidates(const SettleCandidates& op) {
  check(op);
  cuda::settle_candidates(op, stream());
}

void CudaBackend::copy_blocks(const CopyBlocks& op) {
  check(op);
  cuda::copy_blocks(op, stream());
}

void CudaBackend::prepare_slot(const PrepareSlot& op) {
  check(op);
  std::vector<uint16_t> counts(static_cast<size_t>(op.slots.vocab), 0);
  for (int32_t id : op.prompt) counts[id] = SlotState::kInPrompt;
  for (int32_t id : op.generated)
    if ((counts[id] & SlotState::kMostDrawn) < SlotState::kMostDrawn) ++counts[id];
  const auto num_edits = static_cast<int32_t>(op.edits.size());
  upload(op.slots.counts + op.slot * op.slots.vocab, counts.data(), op.slots.vocab * 2);
  upload(op.slots.edits + int64_t{op.slot} * kMaxLogitEdits, op.edits.data(),
         num_edits * static_cast<int64_t>(sizeof(LogitEdit)));
  upload(op.slots.num_edits + op.slot, &num_edits, 4);
}

}  // namespace penstock::cuda
