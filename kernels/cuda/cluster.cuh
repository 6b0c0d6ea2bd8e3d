// Clusters of thread blocks that see each other's shared memory (sm_90 and later). PTX ISA: mapa, barrier.cluster,
// st.async.
#pragma once
#include <cstdint>

#include "kernels/cuda/warp.cuh"

namespace penstock::cuda {

__device__ inline int cluster_rank() {
  uint32_t rank;
  asm volatile("mov.u32 %0, %%cluster_ctarank;" : "=r"(rank));
  return static_cast<int>(rank);
}

// The same place in the shared memory of the cluster's block `rank`. Every block must have passed a cluster_sync()
// before the first access, and none may end before the last.
template <class T>
__device__ inline T* in_block(T* shared, int rank) {
  uint64_t address;
  asm("mapa.u64 %0, %1, %2;" : "=l"(address) : "l"(shared), "r"(rank));
  return reinterpret_cast<T*>(address);
}

// By all threads of all blocks; what was written before, anywhere in the cluster, is seen after. It waits for writes to
// device memory too: a microsecond. ClusterMail is faster.
__device__ inline void cluster_sync() {
  asm volatile("barrier.cluster.arrive.aligned;" ::: "memory");
  asm volatile("barrier.cluster.wait.aligned;" ::: "memory");
}

// In shared memory: what every block of a cluster has to say, sixteen bytes each, with all of them. Rounds alternate
// between two places: a block that is in the next round but one has heard from all in the next, who have therefore read
// this one. Nothing else that they wrote is seen because of it.
template <int kBlocks>
class ClusterMail {
 public:
  __device__ void init() {  // by one thread; a cluster_sync() shows it to the others
    for (uint64_t& state : states_) {
      asm volatile("mbarrier.init.shared.b64 [%0], 1;" ::"r"(shared_address(&state)) : "memory");
      expect(state);
    }
  }
  // By the first warp: its lanes below kBlocks send `own` to the block of their number. What that lane's block sent.
  __device__ ulonglong2 exchange(const ulonglong2& own, int rank, int round) {
    const int lane = static_cast<int>(threadIdx.x);
    uint64_t& state = states_[round & 1];
    ulonglong2* room = rooms_[round & 1];
    if (lane < kBlocks)
      asm volatile(
          "{\n.reg .b32 there, counted;\n"
          "mapa.shared::cluster.u32 there, %0, %2;\n"
          "mapa.shared::cluster.u32 counted, %1, %2;\n"
          "st.async.shared::cluster.mbarrier::complete_tx::bytes.v2.b64 [there], {%3, %4}, [counted];\n}" ::"r"(
              shared_address(room + rank)),
          "r"(shared_address(&state)), "r"(lane), "l"(own.x), "l"(own.y)
          : "memory");
    asm volatile(
        "{\n.reg .pred done;\nagain:\n"
        "mbarrier.try_wait.parity.acquire.cluster.shared::cta.b64 done, [%0], %1;\n"
        "@!done bra again;\n}" ::"r"(shared_address(&state)),
        "r"(round >> 1 & 1)
        : "memory");
    const ulonglong2 heard = room[lane % kBlocks];
    if (lane == 0) expect(state);
    return heard;
  }

 private:
  __device__ static void expect(uint64_t& state) {
    asm volatile("mbarrier.arrive.expect_tx.shared.b64 _, [%0], %1;" ::"r"(shared_address(&state)),
                 "r"(kBlocks * static_cast<int>(sizeof(ulonglong2)))
                 : "memory");
  }
  ulonglong2 rooms_[2][kBlocks];
  uint64_t states_[2];
};

}  // namespace penstock::cuda
