#include "kernels/cpu/cpu_backend.h"

#include <chrono>
#include <cstring>

#include "kernels/cpu/host_memory.h"
#include "kernels/cpu/packed_weight.h"
#include "kernels/op_checks.h"

namespace penstock::cpu {
namespace {

class RecordedStep : public Graph {
 public:
  explicit RecordedStep(std::function<void()> step) : step_(std::move(step)) {}
  void replay() override { step_(); }
  int64_t bytes() const override { return 0; }

 private:
  std::function<void()> step_;
};

class PassedMoment : public Moment {
 public:
  void wait() const override {}
  double seconds_since(const Moment& earlier) const override {
    return std::chrono::duration<double>(at_ - static_cast<const PassedMoment&>(earlier).at_).count();
  }

 private:
  const std::chrono::steady_clock::time_point at_ = std::chrono::steady_clock::now();
};

Precision precision_of(DType dtype) {
  if (dtype == DType::f32) return Precision::f32;
  if (dtype == DType::bf16) return Precision::bf16;
  throw Error(ExitCode::usage, std::string("the CPU computes in f32 or bf16, not ") + dtype_name(dtype));
}

}  // namespace

CpuBackend::CpuBackend(const BackendOptions& options)
    : precision_(precision_of(options.dtype)),
      poison_memory_(options.poison_memory),
      ops_(cpu::ops()),
      pool_(options.threads) {}

// --- memory ---------------------------------------------------------------------------------------------------------

DType CpuBackend::kv_dtype() const { return precision_ == Precision::bf16 ? DType::bf16 : DType::f32; }

int64_t CpuBackend::memory_bytes() const { return available_host_bytes(); }

DeviceBuffer CpuBackend::allocate(int64_t bytes) {
  DeviceBuffer buffer = allocate_host(bytes);
  if (poison_memory_) std::memset(buffer.data(), 0xFF, bytes);  // NaN in f32 and in bf16
  return buffer;
}

void CpuBackend::upload(void* device, const void* host, int64_t bytes) {
  if (bytes > 0) std::memcpy(device, host, bytes);
}

void CpuBackend::download(void* host, const void* device, int64_t bytes) {
  if (bytes > 0) std::memcpy(host, device, bytes);
}

void CpuBackend::fill_zero(void* device, int64_t bytes) {
  if (bytes > 0) std::memset(device, 0, bytes);
}

std::unique_ptr<Moment> CpuBackend::mark() { return std::make_unique<PassedMoment>(); }

// --- weights --------------------------------------------------------------------------------------------------------

// bf16 checkpoints stay as they are, whatever the arithmetic; an f16 checkpoint becomes f32 in f32 mode, so that both
// are exact there.
DType CpuBackend::stored_dtype(DType checkpoint) const {
  return checkpoint == DType::bf16 || precision_ == Precision::bf16 ? DType::bf16 : DType::f32;
}

int64_t CpuBackend::weight_bytes(int64_t out_features, int64_t in_features, DType checkpoint) const {
  return packed_bytes(out_features, in_features, stored_dtype(checkpoint));
}

Weight CpuBackend::allocate_weight(int64_t out_features, int64_t in_features, DType checkpoint) {
  return {.storage = allocate(weight_bytes(out_features, in_features, checkpoint)),
          .dtype = stored_dtype(checkpoint),
          .out_features = out_features,
          .in_features = in_features};
}

std::unique_ptr<Moment> CpuBackend::store_weight_later(Weight& weight, int64_t first_row, const HostMatrix& part) {
  pack_rows(weight, first_row, part);
  return mark();
}

std::unique_ptr<Moment> CpuBackend::store_vector_later(float* vector, std::span<const float> part) {
  upload(vector, part.data(), static_cast<int64_t>(part.size_bytes()));
  return mark();
}

// --- graphs ---------------------------------------------------------------------------------------------------------

std::unique_ptr<Graph> CpuBackend::record(std::function<void()> step) {
  return std::make_unique<RecordedStep>(std::move(step));
}

// --- ops ------------------------------------------------------------------------------------------------------------

void CpuBackend::embed(const Embed& op) {
  check(op, DType::f32);
  ops_.embed(pool_, op);
}

void CpuBackend::matmul(const Matmul& op) {
  check(op, DType::f32);
  ops_.matmul(pool_, op, precision_);
}

void CpuBackend::rms_norm(const RmsNorm& op) {
  check(op, DType::f32);
  ops_.rms_norm(pool_, op);
}

void CpuBackend::add_rms_norm(const AddRmsNorm& op) {
  check(op, DType::f32);
  ops_.add_rms_norm(pool_, op);
}

void CpuBackend::qk_norm_rope_store(const QkNormRopeStore& op) {
  check(op, DType::f32);
  ops_.qk_norm_rope_store(pool_, op);
}

void CpuBackend::paged_attention(const PagedAttention& op) {
  check(op, DType::f32);
  ops_.paged_attention(pool_, op);
}

void CpuBackend::gated_mul(const GatedMul& op) {
  check(op, DType::f32);
  ops_.gated_mul(pool_, op);
}

void CpuBackend::soft_cap(const SoftCap& op) {
  check(op);
  ops_.soft_cap(pool_, op);
}

void CpuBackend::gather_rows(const GatherRows& op) {
  check(op, DType::f32);
  ops_.gather_rows(pool_, op);
}

void CpuBackend::sample(const Head& op) {
  check(op);
  ops_.sample(pool_, op);
}

void CpuBackend::score(const Head& op) {
  check(op);
  ops_.score(pool_, op);
}

void CpuBackend::find_candidates(const FindCandidates& op) {
  check(op);
  ops_.find_candidates(pool_, op);
}

void CpuBackend::choose_candidates(const ChooseCandidates& op) {
  check(op);
  ops_.choose_candidates(pool_, op);
}

void CpuBackend::settle_candidates(const SettleCandidates& op) {
  check(op);
  cpu::settle_candidates(op);
}

void CpuBackend::copy_blocks(const CopyBlocks& op) {
  check(op);
  ops_.copy_blocks(pool_, op);
}

void CpuBackend::accept_drafts(const AcceptDrafts& op) {
  check(op);
  cpu::accept_drafts(op);
}

void CpuBackend::draw_from_table(const DrawFromTable& op) {
  check(op);
  cpu::draw_from_table(op);
}

void CpuBackend::prepare_slot(const PrepareSlot& op) {
  check(op);
  cpu::prepare_slot(op);
}

}  // namespace penstock::cpu
