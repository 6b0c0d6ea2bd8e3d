// Copies of contiguous bytes into shared memory that the hardware makes by itself (sm_90 and later), and the barriers
// that count their bytes. PTX ISA: cp.async.bulk, mbarrier.
#pragma once
#include <cstdint>

#include "kernels/cuda/warp.cuh"

namespace penstock::cuda {

// In shared memory. Phases alternate: a wait for parity p ends when the phase of that parity is complete, which is when
// all arrivals have come and all bytes that they expect.
class CopyBarrier {
 public:
  // By one thread; the block's next barrier shows it to the others.
  __device__ void init(int arrivals) {
    asm volatile("mbarrier.init.shared.b64 [%0], %1;" ::"r"(shared_address(&state_)), "r"(arrivals) : "memory");
    asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");  // to the copies
  }
  __device__ void arrive() {
    asm volatile("mbarrier.arrive.shared.b64 _, [%0];" ::"r"(shared_address(&state_)) : "memory");
  }
  __device__ void arrive_and_expect(uint32_t bytes) {
    asm volatile("mbarrier.arrive.expect_tx.shared.b64 _, [%0], %1;" ::"r"(shared_address(&state_)), "r"(bytes)
                 : "memory");
  }
  __device__ void wait(uint32_t parity) {
    asm volatile(
        "{\n.reg .pred done;\nagain:\n"
        "mbarrier.try_wait.parity.shared.b64 done, [%0], %1;\n"
        "@!done bra again;\n}" ::"r"(shared_address(&state_)),
        "r"(parity)
        : "memory");
  }
  // `bytes` a multiple of 16, both sides aligned to 16; counted on this barrier.
  __device__ void copy(void* to, const void* from, uint32_t bytes) {
    asm volatile("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];" ::"r"(
                     shared_address(to)),
                 "l"(from), "r"(bytes), "r"(shared_address(&state_))
                 : "memory");
  }
  // `policy`: what L2 does with the lines.
  __device__ void copy(void* to, const void* from, uint32_t bytes, uint64_t policy) {
    asm volatile(
        "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes.L2::cache_hint [%0], [%1], %2, [%3], %4;" ::
            "r"(shared_address(to)),
        "l"(from), "r"(bytes), "r"(shared_address(&state_)), "l"(policy)
        : "memory");
  }

 private:
  uint64_t state_;
};

// By each thread that wrote to shared memory, ahead of a barrier: copies that are asked for behind it come after.
__device__ inline void put_before_copies() { asm volatile("fence.proxy.async.shared::cta;" ::: "memory"); }

// True in one lane of a warp, all of which call. As the compiler knows that it is one, that lane's copies need no loop
// over lanes.
__device__ inline bool elected() {
  uint32_t is = 0;
  asm volatile("{\n.reg .pred one;\nelect.sync _|one, 0xFFFFFFFF;\n@one mov.u32 %0, 1;\n}" : "+r"(is));
  return is != 0;
}

// Of lines that are the first to leave L2.
__device__ inline uint64_t read_once_policy() {
  uint64_t policy;
  asm("createpolicy.fractional.L2::evict_first.b64 %0, 1.0;" : "=l"(policy));
  return policy;
}

// From device memory into L2; `bytes` a multiple of 16.
__device__ inline void prefetch_to_l2(const void* from, uint32_t bytes) {
  asm volatile("cp.async.bulk.prefetch.L2.global [%0], %1;" ::"l"(from), "r"(bytes) : "memory");
}

}  // namespace penstock::cuda
