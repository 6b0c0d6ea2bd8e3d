// The backend of the host: checks an op's dimensions, then runs the body for this machine's instruction set on the
// pool. Everything has happened when a verb returns.
#pragma once
#include "kernels/backend.h"
#include "kernels/cpu/ops.h"

namespace penstock::cpu {

class CpuBackend : public Backend {
 public:
  explicit CpuBackend(const BackendOptions& options);

  DType activation_dtype() const override { return DType::f32; }
  DType kv_dtype() const override;
  int64_t memory_bytes() const override;
  DeviceBuffer allocate(int64_t bytes) override;
  void upload(void* device, const void* host, int64_t bytes) override;
  void download(void* host, const void* device, int64_t bytes) override;
  DeviceBuffer allocate_staging(int64_t bytes) override { return allocate(bytes); }
  void upload_later(void* device, const void* staging, int64_t bytes) override { upload(device, staging, bytes); }
  void download_later(void* staging, const void* device, int64_t bytes) override { download(staging, device, bytes); }
  std::unique_ptr<Moment> mark() override;
  void fill_zero(void* device, int64_t bytes) override;
  void synchronize() override {}
  Roofline measure_roofline() override;

  int64_t weight_bytes(int64_t out_features, int64_t in_features, DType checkpoint) const override;
  Weight allocate_weight(int64_t out_features, int64_t in_features, DType checkpoint) override;
  std::unique_ptr<Moment> store_weight_later(Weight& weight, int64_t first_row, const HostMatrix& part) override;
  std::unique_ptr<Moment> store_vector_later(float* vector, std::span<const float> part) override;

  int64_t workspace_bytes(const StepShape&) const override { return 0; }  // on the threads' stacks and heaps
  void reserve_workspace(const StepShape&) override {}

  std::unique_ptr<Graph> record(std::function<void()> step) override;
  int64_t graph_bytes(int64_t) const override { return 0; }

  void embed(const Embed&) override;
  void matmul(const Matmul&) override;
  void rms_norm(const RmsNorm&) override;
  void add_rms_norm(const AddRmsNorm&) override;
  void qk_norm_rope_store(const QkNormRopeStore&) override;
  void paged_attention(const PagedAttention&) override;
  void gated_mul(const GatedMul&) override;
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

  ThreadPool& pool() { return pool_; }

 private:
  DType stored_dtype(DType checkpoint) const;

  Precision precision_;
  bool poison_memory_;
  const Ops& ops_;
  ThreadPool pool_;
};

}  // namespace penstock::cpu
