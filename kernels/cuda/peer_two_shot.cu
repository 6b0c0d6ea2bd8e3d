// For messages whose size decides: ranks meet, then each works on its part for all, straight in the others' memory, and
// they meet again. Bound by the links between the GPUs.
#include <algorithm>

#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/peer_memory.cuh"

namespace penstock::cuda {
namespace {

constexpr int kThreads = 512;
constexpr int kWordsTogether = 4;  // of each rank, whose loads a thread has under way

struct SharedRows {
  uint4* x[kMostRanks];
  unsigned words, row_words, stride;  // of all rows, of one, and from one to the next
  __device__ unsigned offset(unsigned word) const {
    return stride == row_words ? word : word / row_words * stride + word % row_words;
  }
};

__device__ unsigned part_begin(unsigned words, int rank, int ranks) {
  return static_cast<unsigned>(static_cast<unsigned long long>(words) * rank / ranks);
}

// Rank r sums the r-th of equal parts of all words, of which a thread takes every (grid x block)-th, and writes the
// sums to every rank. kRanks: 0 where it is none of those that a loop is unrolled for.
template <int kRanks>
__global__ void __launch_bounds__(kThreads)
    two_shot_kernel(const __grid_constant__ PeerGroup group, const __grid_constant__ SharedRows rows) {
  const int ranks = kRanks ? kRanks : group.ranks;
  begin_peer_kernel(group);
  BlockMeetings fellows(group);
  fellows.meet();
  const unsigned begin = part_begin(rows.words, group.rank, ranks), end = part_begin(rows.words, group.rank + 1, ranks);
  const unsigned step = gridDim.x * kThreads;
  for (unsigned first = begin + blockIdx.x * kThreads + threadIdx.x; first < end; first += kWordsTogether * step) {
    float sums[kWordsTogether][Bf16x8::kSize] = {};
#pragma unroll
    for (int r = 0; r < ranks; r++) {
      uint4 bits[kWordsTogether];
#pragma unroll
      for (int i = 0; i < kWordsTogether; i++)
        if (first + i * step < end) bits[i] = load_shared(rows.x[r] + rows.offset(first + i * step));
#pragma unroll
      for (int i = 0; i < kWordsTogether; i++) add8(bits[i], sums[i]);
    }
#pragma unroll
    for (int i = 0; i < kWordsTogether; i++) {
      if (first + i * step >= end) break;
      const Bf16x8 sum = Bf16x8::from(sums[i]);
#pragma unroll
      for (int r = 0; r < ranks; r++)
        store_shared(rows.x[r] + rows.offset(first + i * step), reinterpret_cast<const uint4&>(sum));
    }
  }
  fellows.meet();
  fellows.keep_count();
}

template <class Word>
struct SharedColumns {
  Word* out[kMostRanks];  // where this rank's columns begin
  const Word* part;
  const HeadRow* wanted;
  unsigned words, row_words;        // of all rows, and of one
  int64_t part_stride, out_stride;  // in words
};

// By all threads. On every rank the same, so that none waits for one that left.
__device__ bool is_any_wanted(const HeadRow* wanted, unsigned rows) {
  if (!wanted) return true;
  bool own = false;
  for (unsigned row = threadIdx.x; row < rows; row += kThreads) own |= !is_padding(wanted[row]);
  return __syncthreads_or(own) != 0;
}

// A thread takes every (grid x block)-th word of the part.
template <class Word>
__global__ void __launch_bounds__(kThreads)
    gather_kernel(const __grid_constant__ PeerGroup group, const __grid_constant__ SharedColumns<Word> columns) {
  begin_peer_kernel(group);
  if (!is_any_wanted(columns.wanted, columns.words / columns.row_words)) return;
  BlockMeetings fellows(group);
  fellows.meet();
  const unsigned step = gridDim.x * kThreads;
  for (unsigned first = blockIdx.x * kThreads + threadIdx.x; first < columns.words; first += kWordsTogether * step) {
    Word part[kWordsTogether];
    int64_t to[kWordsTogether];
    bool goes[kWordsTogether];
#pragma unroll
    for (int i = 0; i < kWordsTogether; i++) {
      const unsigned word = first + i * step, row = word / columns.row_words, at = word % columns.row_words;
      to[i] = row * columns.out_stride + at;
      goes[i] = word < columns.words && !(columns.wanted && is_padding(columns.wanted[row]));
      if (goes[i]) part[i] = columns.part[row * columns.part_stride + at];
    }
    for (int r = 0; r < group.ranks; r++)
#pragma unroll
      for (int i = 0; i < kWordsTogether; i++)
        if (goes[i]) columns.out[r][to[i]] = part[i];
  }
  fellows.meet();
  fellows.keep_count();
}

dim3 blocks_for(int64_t words, const PeerGroup& group) {
  constexpr int64_t kEach = kThreads * kWordsTogether;
  return static_cast<unsigned>(std::clamp<int64_t>((words + kEach - 1) / kEach, 1, group.most_blocks));
}

template <class Word>
void gather(const PeerGroup& group, const PeerTensors& out, const Tensor& part, const HeadRow* wanted,
            cudaStream_t stream) {
  constexpr int64_t kValues = sizeof(Word) / sizeof(float);
  SharedColumns<Word> columns{.out = {},
                              .part = static_cast<const Word*>(part.data),
                              .wanted = wanted,
                              .words = static_cast<unsigned>(part.rows * part.cols / kValues),
                              .row_words = static_cast<unsigned>(part.cols / kValues),
                              .part_stride = part.stride / kValues,
                              .out_stride = out.stride / kValues};
  for (int r = 0; r < group.ranks; ++r)
    columns.out[r] = static_cast<Word*>(out.data[r]) + group.rank * columns.row_words;
  launch(gather_kernel<Word>, blocks_for(columns.words, group), dim3(kThreads), 0, stream, group, columns);
}

}  // namespace

void two_shot_sum(const PeerGroup& group, const PeerTensors& x, cudaStream_t stream) {
  if (x.rows == 0) return;
  SharedRows rows{.x = {},
                  .words = static_cast<unsigned>(x.rows * x.cols / Bf16x8::kSize),
                  .row_words = static_cast<unsigned>(x.cols / Bf16x8::kSize),
                  .stride = static_cast<unsigned>(x.stride / Bf16x8::kSize)};
  for (int r = 0; r < group.ranks; ++r) rows.x[r] = static_cast<uint4*>(x.data[r]);
  const dim3 grid = blocks_for((rows.words + group.ranks - 1) / group.ranks, group), block(kThreads);
  switch (group.ranks) {
    case 2:
      return launch(two_shot_kernel<2>, grid, block, 0, stream, group, rows);
    case 4:
      return launch(two_shot_kernel<4>, grid, block, 0, stream, group, rows);
    case 8:
      return launch(two_shot_kernel<8>, grid, block, 0, stream, group, rows);
    default:
      return launch(two_shot_kernel<0>, grid, block, 0, stream, group, rows);
  }
}

void gather_columns(const PeerGroup& group, const PeerTensors& out, const Tensor& part, const HeadRow* wanted,
                    cudaStream_t stream) {
  if (part.rows == 0) return;
  bool wide = part.cols % 4 == 0 && part.stride % 4 == 0 && out.stride % 4 == 0;
  for (int r = 0; r < group.ranks; ++r) wide &= reinterpret_cast<uintptr_t>(out.data[r]) % 16 == 0;
  wide &= reinterpret_cast<uintptr_t>(part.data) % 16 == 0;
  wide ? gather<uint4>(group, out, part, wanted, stream) : gather<float>(group, out, part, wanted, stream);
}

void load_two_shot_kernels() {
  load_kernels(two_shot_kernel<0>, two_shot_kernel<2>, two_shot_kernel<4>, two_shot_kernel<8>, gather_kernel<uint4>,
               gather_kernel<float>);
}

}  // namespace penstock::cuda
