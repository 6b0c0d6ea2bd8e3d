// NCCL for the ranks of one process, each on a GPU of its own. The library is opened when it is first wanted: a run on
// one GPU needs none.
#pragma once
#include <cuda_runtime_api.h>

#include <memory>
#include <span>
#include <string>

#include "kernels/tensor.h"

namespace penstock::cuda {

class NcclRanks {
 public:
  virtual ~NcclRanks() = default;  // graphs with its sums are gone
  // Each from its rank's thread; the device is the current one. bf16, contiguous.
  virtual void all_reduce_sum(int rank, const Tensor& x, cudaStream_t stream) = 0;
  virtual void all_gather(int rank, void* out, const void* part, int64_t bytes, cudaStream_t stream) = 0;
  // From any thread, as Communicator::abort: what runs on the devices ends, and graphs must not be replayed again.
  virtual void abort() = 0;
  virtual std::string version() const = 0;
};

// Null, and `why_not` for people, where there is no NCCL of version 2.28 or later. Errors: what NCCL says when it
// cannot connect the devices within a minute.
std::unique_ptr<NcclRanks> make_nccl_ranks(std::span<const int> devices, std::string& why_not);

}  // namespace penstock::cuda
