// One GPU: the verbs are enqueued on one stream of the highest priority, weights on another.
#pragma once
#include <cuda_runtime_api.h>

#include <optional>
#include <vector>

#include "kernels/backend.h"
#include "kernels/cuda/matmul.h"
#include "kernels/cuda/paged_attention.h"

namespace penstock::cuda {

class CudaBackend : public Backend {
 public:
  explicit CudaBackend(const BackendOptions& options);
  ~CudaBackend() override;

  int index() const { return index_; }
  cudaStream_t stream() const;  // of the verbs; selects the device on the calling thread

  DType activation_dtype() const override { return DType::bf16; }
  DType kv_dtype() const override { return DType::bf16; }
  int64_t memory_bytes() const override;
  DeviceBuffer allocate(int64_t bytes) override;
  void upload(void* device, const void* host, int64_t bytes) override;
  void download(void* host, const void* device, int64_t bytes) override;
  DeviceBuffer allocate_staging(int64_t bytes) override;
  void upload_later(void* device, const void* staging, int64_t bytes) override;
  void download_later(void* staging, const void* device, int64_t bytes) override;
  std::unique_ptr<Moment> mark() override;
  void fill_zero(void* device, int64_t bytes) override;
  void synchronize() override;
  Roofline measure_roofline() override;

  int64_t weight_bytes(int64_t out_features, int64_t in_features, DType checkpoint) const override;
  Weight allocate_weight(int64_t out_features, int64_t in_features, DType checkpoint) override;
  std::unique_ptr<Moment> store_weight_later(Weight& weight, int64_t first_row, const HostMatrix& part) override;
  std::unique_ptr<Moment> store_vector_later(float* vector, std::span<const float> part) override;

  int64_t workspace_bytes(const StepShape& largest) const override;
  void reserve_workspace(const StepShape& largest) override;

  std::unique_ptr<Graph> record(std::function<void()> step) override;
  int64_t graph_bytes(int64_t verbs) const override;
  void set_autotune(bool on) override { matmuls_.set_autotune(on); }

  void embed(const Embed&) override;
  void matmul(const Matmul&) override;
  void rms_norm(const RmsNorm&) override;
  void add_rms_norm(const AddRmsNorm&) override;
  void qk_norm_rope_store(const QkNormRopeStore&) override;
  void paged_attention(const PagedAttention&) override;
  void gated_mul(const GatedMul&) override;
  void gated_matmul(const GatedMatmul&) override;
  void soft_cap(const SoftCap&) override;
  void gather_rows(const GatherRows&) override;
  void sample(const Head&) override;
  void score(const Head&) override;
  void find_candidates(const FindCandidates&) override;
  void choose_candidates(const ChooseCandidates&) override;
  void settle_candidates(const SettleCandidates&) override;
  void copy_blocks(const CopyBlocks&) override;
  void accept_drafts(const AcceptDrafts&) override;
  void draw_from_table(const DrawFromTable&) override;
  void prepare_slot(const PrepareSlot&) override;

 private:
  // Grows; the last is the largest and is used, and graphs may still hold the others.
  using Workspace = std::vector<DeviceBuffer>;
  void* reserve(Workspace& workspace, int64_t bytes);
  void finish_work();                                                                // waits for all that is enqueued
  bool takes_hopper_kernels() const { return kernels_ == KernelChoice::automatic; }  // where the GPU has what they need

  int index_;
  KernelChoice kernels_;
  bool poison_memory_;
  cudaStream_t stream_ = nullptr, weight_stream_ = nullptr;
  Matmuls matmuls_;
  Workspace workspace_, attention_workspace_;
  // What the attention workspace has a plan for: until something is uploaded, and not beyond a graph.
  std::optional<AttentionPlanKey> planned_;
  int32_t attention_launches_ = 0;          // with it, after the first
  std::unique_ptr<Moment> before_capture_;  // while a graph is recorded
};

}  // namespace penstock::cuda
