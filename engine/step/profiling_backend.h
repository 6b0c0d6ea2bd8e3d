// A backend around another that hands every verb on and, when asked to, marks a moment before and after it: per-op
// times by the device's clock, with the decoder and the devices' code as they are (--profile ops).
//
// Marks between verbs keep kernels from overlapping, so a timed step is slower than the graph that it stands for. That
// is why only some steps are timed, and why the report shows both.
#pragma once
#include <array>
#include <memory>
#include <unordered_map>
#include <utility>
#include <vector>

#include "engine/step/op_work.h"
#include "kernels/backend.h"

namespace penstock {

struct OpTime {
  double seconds = 0;
  int64_t calls = 0;
};
using OpTimes = std::array<OpTime, kNumOps>;
inline OpTimes& operator+=(OpTimes& sum, const OpTimes& times) {
  for (size_t i = 0; i < kNumOps; ++i) sum[i].seconds += times[i].seconds, sum[i].calls += times[i].calls;
  return sum;
}

// The moments of one sequence of verbs. Those of a captured graph are made once and come anew with each replay; on the
// CPU every replay makes its own, over the ones before.
class OpMarks {
 public:
  OpTimes times() const;  // all moments have passed

 private:
  friend class ProfilingBackend;
  struct Entry {
    Op op;
    std::unique_ptr<Moment> begin, end;
  };
  std::vector<Entry> entries_;
  size_t next_ = 0;  // where the next entry goes
};

class ProfilingBackend : public Backend {
 public:
  explicit ProfilingBackend(std::unique_ptr<Backend> inner) : inner_(std::move(inner)) {}

  // What products with `weight` are counted as. Every weight must have a name before it is timed.
  void name(const Weight& weight, Op op) { names_[&weight] = op; }
  // Verbs from now on are timed into `marks`, which must outlive their being recorded and run; null: none are.
  void mark_into(OpMarks* marks);

  DType activation_dtype() const override { return inner_->activation_dtype(); }
  DType kv_dtype() const override { return inner_->kv_dtype(); }
  int64_t memory_bytes() const override { return inner_->memory_bytes(); }
  DeviceBuffer allocate(int64_t bytes) override { return inner_->allocate(bytes); }
  void upload(void* device, const void* host, int64_t bytes) override { inner_->upload(device, host, bytes); }
  void download(void* host, const void* device, int64_t bytes) override { inner_->download(host, device, bytes); }
  DeviceBuffer allocate_staging(int64_t bytes) override { return inner_->allocate_staging(bytes); }
  void upload_later(void* device, const void* staging, int64_t bytes) override {
    inner_->upload_later(device, staging, bytes);
  }
  void download_later(void* staging, const void* device, int64_t bytes) override {
    inner_->download_later(staging, device, bytes);
  }
  std::unique_ptr<Moment> mark() override { return inner_->mark(); }
  void fill_zero(void* device, int64_t bytes) override { inner_->fill_zero(device, bytes); }
  void synchronize() override { inner_->synchronize(); }
  Roofline measure_roofline() override { return inner_->measure_roofline(); }

  int64_t weight_bytes(int64_t out_features, int64_t in_features, DType checkpoint) const override {
    return inner_->weight_bytes(out_features, in_features, checkpoint);
  }
  Weight allocate_weight(int64_t out_features, int64_t in_features, DType checkpoint) override {
    return inner_->allocate_weight(out_features, in_features, checkpoint);
  }
  std::unique_ptr<Moment> store_weight_later(Weight& weight, int64_t first_row, const HostMatrix& part) override {
    return inner_->store_weight_later(weight, first_row, part);
  }
  std::unique_ptr<Moment> store_vector_later(float* vector, std::span<const float> part) override {
    return inner_->store_vector_later(vector, part);
  }
  int64_t workspace_bytes(const StepShape& largest) const override { return inner_->workspace_bytes(largest); }
  void reserve_workspace(const StepShape& largest) override { inner_->reserve_workspace(largest); }

  std::unique_ptr<Graph> record(std::function<void()> step) override { return inner_->record(std::move(step)); }
  int64_t graph_bytes(int64_t verbs) const override { return inner_->graph_bytes(verbs); }
  void set_autotune(bool on) override { inner_->set_autotune(on); }

  void embed(const Embed&) override;
  void matmul(const Matmul&) override;
  void rms_norm(const RmsNorm&) override;
  void add_rms_norm(const AddRmsNorm&) override;
  void qk_norm_rope_store(const QkNormRopeStore&) override;
  void paged_attention(const PagedAttention&) override;
  void gated_mul(const GatedMul&) override;
  void gated_matmul(const GatedMatmul&) override;  // timed as its two parts, also where the device makes one of them
  void soft_cap(const SoftCap&) override;
  void gather_rows(const GatherRows&) override;
  void sample(const Head&) override;
  void score(const Head&) override;
  // Not timed: what sample and score have to do beside them is.
  void find_candidates(const FindCandidates& a) override { inner_->find_candidates(a); }
  void choose_candidates(const ChooseCandidates& a) override { inner_->choose_candidates(a); }
  void settle_candidates(const SettleCandidates& a) override { inner_->settle_candidates(a); }
  void copy_blocks(const CopyBlocks&) override;
  void accept_drafts(const AcceptDrafts&) override;
  void draw_from_table(const DrawFromTable&) override;
  void prepare_slot(const PrepareSlot&) override;

 private:
  template <class Arguments>
  void timed(Op op, void (Backend::*verb)(const Arguments&), const Arguments& arguments);

  std::unique_ptr<Backend> inner_;
  std::unordered_map<const Weight*, Op> names_;
  OpMarks* marks_ = nullptr;
};

}  // namespace penstock
