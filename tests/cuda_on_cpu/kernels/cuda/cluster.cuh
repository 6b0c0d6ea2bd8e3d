// kernels/cuda/cluster.cuh, on the CPU: mail arrives in any order.
#pragma once
#include "kernels/cuda/warp.cuh"

namespace penstock::cuda {

inline int cluster_rank() { return cuda_on_cpu::device().current().block->rank; }
template <class T>
T* in_block(T* shared, int rank) {
  cuda_on_cpu::Device& device = cuda_on_cpu::device();
  const auto offset = reinterpret_cast<char*>(shared) - device.current().block->shared;
  return reinterpret_cast<T*>(device.shared_of(rank) + offset);
}
inline void cluster_sync() { cuda_on_cpu::device().with_cluster(); }

template <int kBlocks>
class ClusterMail {
 public:
  void init() {
    for (cuda_on_cpu::PhaseBarrier*& barrier : barriers_) {
      barrier = cuda_on_cpu::device().make_barrier(1);
      barrier->expect(kBytes);
    }
  }
  ulonglong2 exchange(const ulonglong2& own, int rank, int round) {
    const int lane = static_cast<int>(threadIdx.x), turn = round & 1;
    if (lane < kBlocks)
      cuda_on_cpu::device().deliver_later([to = in_block(this, lane), own, rank, turn] {
        to->rooms_[turn][rank] = own;
        to->barriers_[turn]->deliver(sizeof own);
      });
    barriers_[turn]->wait(static_cast<uint32_t>(round >> 1 & 1));
    const ulonglong2 heard = rooms_[turn][lane % kBlocks];
    if (lane == 0) barriers_[turn]->expect(kBytes);
    return heard;
  }

 private:
  static constexpr int64_t kBytes = kBlocks * sizeof(ulonglong2);
  ulonglong2 rooms_[2][kBlocks];
  cuda_on_cpu::PhaseBarrier* barriers_[2];
};

}  // namespace penstock::cuda
