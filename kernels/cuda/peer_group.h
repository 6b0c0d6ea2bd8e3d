// What the kernels that sum and gather over ranks know of each other's memory, and their launchers. Ranks may be on
// several GPUs of one process, whose memory is mapped into each other, or share one.
#pragma once
#include <cuda_runtime_api.h>

#include <cstdint>

#include "kernels/backend.h"
#include "kernels/cuda/ops.h"

namespace penstock::cuda {

constexpr int kMostRanks = 8;
constexpr int kMostPeerBlocks = 64;           // of one kernel
constexpr int64_t kMostInboxBytes = 1 << 20;  // the largest sum in one shot
constexpr int64_t kInboxWords = kMostInboxBytes / 16;
constexpr int kInboxes = 4;  // used by turns: a power of two, so that their number may wrap

// One rank's counters, in its own memory. They only grow, so a graph may be replayed as often as one likes.
struct PeerCounters {
  unsigned long long shots;                // upper half: sums in one shot so far; lower half: blocks of the present one
  unsigned int shot_words[2];              // of the last sums, by turns
  unsigned int meetings[kMostPeerBlocks];  // of each block with its fellows
};

// As one rank sees it; a parameter of kernels.
struct PeerGroup {
  int rank, ranks;
  uint4* inbox[kMostRanks];     // of each rank: [kInboxes, ranks, kInboxWords], see peer_one_shot.cu
  unsigned* flags[kMostRanks];  // of each rank: [kMostPeerBlocks, kMostRanks], see peer_memory.cuh
  PeerCounters* counters;       // this rank's
  const int* aborted;           // host memory: whoever waits looks at it now and then
  int most_blocks;              // at most kMostPeerBlocks. Few where ranks share a GPU, so that the others' kernels run
  bool shares_gpu;              // then the kernel behind one that waits is scheduled only when that has ended
};

// A tensor of each rank, of one shape.
struct PeerTensors {
  void* data[kMostRanks];
  int64_t rows, cols, stride;  // in elements
};

// In place. The ranks' x of at most kMostInboxBytes; cols a multiple of 8.
void one_shot_sum(const PeerGroup& group, const Tensor& x, cudaStream_t stream);
// The same with what Communicator::sum_add_rms_norm adds; hidden at most kMostShotHidden.
constexpr int64_t kMostShotHidden = 32768;
void one_shot_sum_add_rms_norm(const PeerGroup& group, const AddRmsNorm& op, cudaStream_t stream);

// In place, of any size.
void two_shot_sum(const PeerGroup& group, const PeerTensors& x, cudaStream_t stream);

// `part` [rows, cols] in f32 to the columns from rank * cols on of every rank's `out` [rows, ranks * cols]; without
// rows that are padding in `wanted` [rows], where it is not null.
void gather_columns(const PeerGroup& group, const PeerTensors& out, const Tensor& part, const HeadRow* wanted,
                    cudaStream_t stream);

// Ends when every rank's stream has come here.
void meet_ranks(const PeerGroup& group, cudaStream_t stream);
// Bytes: a multiple of 16. By few blocks: another rank on this GPU may need the others.
void copy_by_kernel(void* to, const void* from, int64_t bytes, cudaStream_t stream);
// x becomes the sum.
void sum_others(const Tensor& x, const OtherParts& others, cudaStream_t stream);

// Loads the kernels above onto the current device: the driver may wait for the device before a kernel's first launch,
// which must not happen while another rank waits.
void load_one_shot_kernels();
void load_two_shot_kernels();
void load_fetching_kernels();

}  // namespace penstock::cuda
