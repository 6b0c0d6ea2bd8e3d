// Ranks on GPUs of one process: own kernels over memory that is mapped into each other (peer_one_shot.cu,
// peer_two_shot.cu), NCCL for what it does faster, or where memory cannot be mapped.
#pragma once
#include <memory>
#include <optional>

#include "kernels/cuda/begun_sums.h"
#include "kernels/cuda/peer_ranks.h"

namespace penstock::cuda {

class PeerCommunicator : public Communicator {
 public:
  PeerCommunicator(std::shared_ptr<PeerRanks> ranks, int rank, CudaBackend& backend);

  int rank() const override { return rank_; }
  int size() const override { return ranks_->size(); }
  void all_reduce_sum(const Tensor& x) override;
  void all_gather_columns(const Tensor& out, const Tensor& part, const HeadRow* wanted) override;
  void sum_add_rms_norm(const AddRmsNorm& op, Backend& backend) override;
  void begin_sum(const Tensor& x, const Tensor& room) override;
  void end_sum(const Tensor& x) override;
  void end_sum_add_rms_norm(const AddRmsNorm& op, Backend& backend) override;
  bool can_begin_sums() const override { return begun_.has_value(); }
  void begin_pass() override;
  void rest() override;
  void abort() override { ranks_->abort(); }
  std::string description() const override { return ranks_->description(); }

  // all_reduce_sum by one of its ways, whatever the size; for measuring. Errors: Error(internal) where that way cannot.
  void sum_by(SumKind kind, const Tensor& x);

 private:
  PeerTensors meet_with(const Tensor& x);
  OtherParts fetched(const Tensor& x);
  void finish();
  void gather_by_nccl(const Tensor& out, const Tensor& part);

  const std::shared_ptr<PeerRanks> ranks_;
  const int rank_;
  CudaBackend& backend_;
  std::optional<BegunSums> begun_;      // where ranks reach each other's memory, and are few
  DeviceBuffer gathered_;               // [size, rows, cols]: NCCL's order. Grows
  std::vector<DeviceBuffer> outgrown_;  // graphs may hold them
};

// Finds, by measuring, up to which size each way is the fastest. By all ranks, each on its own thread: some tenths of a
// second.
SumLimits measure_limits(PeerRanks& ranks, PeerCommunicator& communicator, CudaBackend& backend);

}  // namespace penstock::cuda
