// What the ranks of one group share: their meeting, the memory through which their kernels reach each other, and how a
// sum is taken, by its size.
#pragma once
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "kernels/communicator.h"
#include "kernels/cuda/cuda_backend.h"
#include "kernels/cuda/nccl_ranks.h"
#include "kernels/cuda/peer_group.h"
#include "kernels/cuda/sum_limits.h"
#include "kernels/rank_meeting.h"

namespace penstock::cuda {

enum class SumKind { one_shot, two_shot, nccl };

class PeerRanks {
 public:
  // Errors: as make_communicators.
  PeerRanks(std::span<CudaBackend* const> backends, const CommunicatorOptions& options);

  int size() const { return static_cast<int>(memory_.size()); }
  RankMeeting& meeting() { return meeting_; }
  bool has_peer_memory() const { return has_peer_memory_; }
  bool shares_gpu() const { return shares_gpu_; }
  // As rank `rank` sees it. Only with peer memory.
  const PeerGroup& group(int rank) const { return memory_[rank].group; }
  NcclRanks* nccl() { return nccl_.get(); }

  SumKind kind_of(int64_t bytes) const;
  // Whether the limits are yet to be measured, and what came of that: while none sums.
  bool wants_measuring() const { return wants_measuring_; }
  void set_measured(const SumLimits& limits);
  std::string description() const;

  void abort();

 private:
  struct Memory {  // of one rank
    DeviceBuffer inbox, flags, counters;
    PeerGroup group{};
  };
  std::string nccl_version() const { return nccl_ ? nccl_->version() : ""; }
  void make_memory(std::span<CudaBackend* const> backends);
  void choose_ways(const std::vector<int>& devices, SumChoice choice);

  bool has_peer_memory_ = true, shares_gpu_ = false, wants_measuring_ = false;
  RankMeeting meeting_;
  DeviceBuffer aborted_;  // an int, in host memory
  std::vector<Memory> memory_;
  std::unique_ptr<NcclRanks> nccl_;
  std::string no_nccl_;      // why
  std::string slower_nccl_;  // the version of one that is not even opened
  int first_device_ = 0;
  std::string name_;  // of the measurement
  SumLimits limits_;
};

}  // namespace penstock::cuda
