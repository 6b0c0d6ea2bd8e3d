// Memory of other ranks: accesses that reach it, and how blocks of the same number wait for each other.
#pragma once
#include "kernels/cuda/peer_group.h"
#include "kernels/cuda/vector.cuh"

namespace penstock::cuda {

// Sixteen bytes that go to, or come from, where all GPUs see them. Each four of them arrive as a whole.
__device__ inline void store_shared(uint4* at, const uint4& x) {
  asm volatile("st.relaxed.sys.global.v4.u32 [%0], {%1, %2, %3, %4};" ::"l"(at), "r"(x.x), "r"(x.y), "r"(x.z), "r"(x.w)
               : "memory");
}
__device__ inline uint4 load_shared(const uint4* at) {
  uint4 x;
  asm volatile("ld.relaxed.sys.global.v4.u32 {%0, %1, %2, %3}, [%4];"
               : "=r"(x.x), "=r"(x.y), "=r"(x.z), "=r"(x.w)
               : "l"(at)
               : "memory");
  return x;
}

// Of a thread that waits for other ranks: looks now and then whether the group has ended, by a flag in host memory, a
// microsecond away. Once over it stays over.
class Patience {
 public:
  __device__ explicit Patience(const int* aborted) : aborted_(aborted) {}
  __device__ bool is_over() {
    if (!over_ && ++polls_ % 1024 == 0) over_ = *static_cast<const volatile int*>(aborted_) != 0;
    return over_;
  }

 private:
  const int* aborted_;
  unsigned polls_ = 0;
  bool over_ = false;
};

// The kernel behind fills the GPU while this one waits, unless the GPU is another rank's, too: then it is scheduled
// when all blocks have ended. (One thread's launch_dependents() speaks for its block, whose others may still wait.)
__device__ inline void begin_peer_kernel(const PeerGroup& group) {
  if (!group.shares_gpu) launch_dependents();
  wait_for_memory();
}

// Meetings of the blocks of one number on all ranks: what they wrote before is seen after. Flag [block, r] of a rank is
// the number of meetings to which rank r's block has come.
class BlockMeetings {
 public:
  __device__ explicit BlockMeetings(const PeerGroup& group)
      : group_(group), patience_(group.aborted), count_(group.counters->meetings[blockIdx.x]) {}

  __device__ void meet() {
    ++count_;
    __syncthreads();
    const int other = threadIdx.x;
    if (other < group_.ranks && other != group_.rank) {
      unsigned* theirs = group_.flags[other] + blockIdx.x * kMostRanks + group_.rank;
      asm volatile("st.release.sys.global.u32 [%0], %1;" ::"l"(theirs), "r"(count_) : "memory");
      const unsigned* ours = group_.flags[group_.rank] + blockIdx.x * kMostRanks + other;
      while (static_cast<int>(arrived(ours) - count_) < 0 && !patience_.is_over()) {
      }
    }
    __syncthreads();
  }
  __device__ void keep_count() const {
    if (threadIdx.x == 0) group_.counters->meetings[blockIdx.x] = count_;
  }

 private:
  __device__ static unsigned arrived(const unsigned* flag) {
    unsigned x;
    asm volatile("ld.acquire.sys.global.u32 %0, [%1];" : "=r"(x) : "l"(flag) : "memory");
    return x;
  }

  const PeerGroup& group_;
  Patience patience_;
  unsigned count_;
};

}  // namespace penstock::cuda
