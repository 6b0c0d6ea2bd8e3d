// Of kernels/cuda/bulk_copy.cuh what kernels on the CPU need: copies arrive in any order.
#pragma once
#include "kernels/cuda/warp.cuh"

namespace penstock::cuda {

class CopyBarrier {
 public:
  void init(int arrivals) { barrier_ = cuda_on_cpu::device().make_barrier(arrivals); }
  void arrive_and_expect(uint32_t bytes) { barrier_->expect(bytes); }
  void wait(uint32_t parity) { barrier_->wait(parity); }
  void copy(void* to, const void* from, uint32_t bytes) {
    cuda_on_cpu::device().deliver_later([=, barrier = barrier_] {
      std::memcpy(to, from, bytes);
      barrier->deliver(bytes);
    });
  }

 private:
  cuda_on_cpu::PhaseBarrier* barrier_;
};
inline void put_before_copies() {}

}  // namespace penstock::cuda
