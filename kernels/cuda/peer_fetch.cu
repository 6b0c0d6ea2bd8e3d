// What begun_sums.h is made of.
#include <algorithm>

#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/other_parts.cuh"
#include "kernels/cuda/peer_memory.cuh"

namespace penstock::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kWordsTogether = 4;  // whose loads a thread has under way

// One warp of each rank.
__global__ void __launch_bounds__(kWarp) meet_kernel(const __grid_constant__ PeerGroup group) {
  begin_peer_kernel(group);
  BlockMeetings fellows(group);
  fellows.meet();
  fellows.keep_count();
}

// A thread takes every (grid x block)-th word.
__global__ void __launch_bounds__(kThreads) copy_kernel(uint4* to, const uint4* from, int64_t words) {
  wait_for_previous_kernel();
  const int64_t step = int64_t{gridDim.x} * kThreads;
  for (int64_t first = blockIdx.x * int64_t{kThreads} + threadIdx.x; first < words; first += kWordsTogether * step) {
    uint4 bits[kWordsTogether];
#pragma unroll
    for (int i = 0; i < kWordsTogether; i++)
      if (first + i * step < words) bits[i] = from[first + i * step];
#pragma unroll
    for (int i = 0; i < kWordsTogether; i++)
      if (first + i * step < words) to[first + i * step] = bits[i];
  }
}

// A thread takes eight elements of the token blockIdx.y.
__global__ void __launch_bounds__(kThreads)
    sum_kernel(__nv_bfloat16* x, int64_t stride, int64_t hidden, const __grid_constant__ OtherRows others) {
  const int64_t token = blockIdx.y, col = (blockIdx.x * int64_t{kThreads} + threadIdx.x) * Bf16x8::kSize;
  wait_for_previous_kernel();
  if (col >= hidden) return;
  float value[Bf16x8::kSize];
  load8(x + token * stride + col).to(value);
  others.add_to(value, token, col);
  store8(x + token * stride + col, Bf16x8::from(value));
}

}  // namespace

void meet_ranks(const PeerGroup& group, cudaStream_t stream) {
  launch_after_all(meet_kernel, dim3(1), dim3(kWarp), stream, group);
}

void copy_by_kernel(void* to, const void* from, int64_t bytes, cudaStream_t stream) {
  constexpr int kBlocks = 16;
  launch_after_all(copy_kernel, dim3(kBlocks), dim3(kThreads), stream, static_cast<uint4*>(to),
                   static_cast<const uint4*>(from), bytes / static_cast<int64_t>(sizeof(uint4)));
}

void sum_others(const Tensor& x, const OtherParts& others, cudaStream_t stream) {
  const int64_t vectors = x.cols / Bf16x8::kSize;
  const dim3 grid(static_cast<unsigned>((vectors + kThreads - 1) / kThreads), static_cast<unsigned>(x.rows));
  launch(sum_kernel, grid, dim3(kThreads), 0, stream, static_cast<__nv_bfloat16*>(x.data), x.stride, x.cols,
         OtherRows::of(others));
}

void load_fetching_kernels() { load_kernels(meet_kernel, copy_kernel, sum_kernel); }

}  // namespace penstock::cuda
