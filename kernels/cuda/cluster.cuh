// Clusters of thread blocks that see each other's shared memory (sm_90 and later). PTX ISA: mapa, barrier.cluster.
#pragma once
#include <cstdint>

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

// By all threads of all blocks; what was written before, anywhere in the cluster, is seen after.
__device__ inline void cluster_sync() {
  asm volatile("barrier.cluster.arrive.aligned;" ::: "memory");
  asm volatile("barrier.cluster.wait.aligned;" ::: "memory");
}

}  // namespace penstock::cuda
