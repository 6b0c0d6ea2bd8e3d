// Sums over ranks for messages so small that latency decides: every rank sends its words to all others and adds up what
// it receives, in rank order. There is no barrier: a word that has arrived differs from kNothing, which the inbox was
// filled with (the idea of NCCL's LL protocol and TensorRT-LLM's Lamport buffers). Bound by one trip of the words.
//
// Inboxes are used by turns. While sum n is sent, the inbox of sum n - 1 is emptied for sum n + 3. Three would do: who
// sends sum n + 2 has received sum n + 1, which its sender began after the end of sum n, emptying included.
#include <algorithm>

#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/peer_memory.cuh"

namespace penstock::cuda {
namespace {

constexpr int kSumThreads = 256;
constexpr int kMaxRowThreads = 1024;
constexpr unsigned kNothing = 0xFFFFFFFF;  // two bf16 that are NaN
constexpr unsigned kSameNans = 0xFFFFFFFE;

__device__ unsigned sendable(unsigned word) { return word == kNothing ? kSameNans : word; }
__device__ uint4 sendable(const uint4& x) { return {sendable(x.x), sendable(x.y), sendable(x.z), sendable(x.w)}; }
__device__ bool has_arrived(const uint4& x) {
  return x.x != kNothing && x.y != kNothing && x.z != kNothing && x.w != kNothing;
}

class Shot {
 public:
  // By all threads, after the wait for memory. `words`: of each rank, in this sum.
  __device__ Shot(const PeerGroup& group, unsigned words) : group_(group), patience_(group.aborted) {
    __shared__ unsigned number;
    if (threadIdx.x == 0) {
      // The block that is the last to come here, not the last to end: nobody waits for this.
      unsigned long long& shots = group.counters->shots;
      const unsigned long long before = atomicAdd(&shots, 1ull);
      number = static_cast<unsigned>(before >> 32);
      if (static_cast<unsigned>(before) + 1 == gridDim.x) {
        group.counters->shot_words[number % 2] = words;
        atomicAdd(&shots, (1ull << 32) - gridDim.x);
      }
    }
    __syncthreads();
    inbox_ = number % kInboxes;
    spent_inbox_ = (number + kInboxes - 1) % kInboxes;
    spent_words_ = group.counters->shot_words[(number + 1) % 2];
  }

  __device__ void send(int64_t word, const uint4& x) const {
    for (int k = 1; k < group_.ranks; k++) {
      const int to = (group_.rank + k) % group_.ranks;
      store_shared(at(to, inbox_, group_.rank) + word, sendable(x));
    }
  }
  // What all ranks sent, added up. `own` is what this one did.
  __device__ void receive(int64_t word, const uint4& own, float (&sum)[Bf16x8::kSize]) {
#pragma unroll
    for (float& x : sum) x = 0;
    constexpr int kTogether = 4;  // loads under way
    for (int first = 0; first < group_.ranks; first += kTogether) {
      uint4 bits[kTogether];
#pragma unroll
      for (int i = 0; i < kTogether; i++) {
        bits[i] = sendable(own);
        if (is_other(first + i)) bits[i] = load_shared(at(group_.rank, inbox_, first + i) + word);
      }
#pragma unroll
      for (int i = 0; i < kTogether; i++) {
        if (first + i >= group_.ranks) break;
        while (!has_arrived(bits[i]) && !patience_.is_over())
          bits[i] = load_shared(at(group_.rank, inbox_, first + i) + word);
        add8(bits[i], sum);
      }
    }
  }
  __device__ void empty_spent_inbox() const {
    const uint4 nothing{kNothing, kNothing, kNothing, kNothing};
    for (int from = 0; from < group_.ranks; from++)
      for (unsigned i = blockIdx.x * blockDim.x + threadIdx.x; i < spent_words_; i += gridDim.x * blockDim.x)
        if (from != group_.rank) at(group_.rank, spent_inbox_, from)[i] = nothing;
  }

 private:
  __device__ bool is_other(int rank) const { return rank < group_.ranks && rank != group_.rank; }
  __device__ uint4* at(int rank, int inbox, int from) const {
    return group_.inbox[rank] + (inbox * group_.ranks + from) * kInboxWords;
  }

  const PeerGroup& group_;
  Patience patience_;
  int inbox_, spent_inbox_;
  unsigned spent_words_;
};

struct Rows {
  uint4* x;
  int words;       // of a row
  int64_t stride;  // in words
  unsigned total;  // words of all rows
  __device__ uint4* word(unsigned i) const { return x + i / words * stride + i % words; }
};

// A thread takes every (grid x block)-th word.
__global__ void __launch_bounds__(kSumThreads) sum_kernel(const __grid_constant__ PeerGroup group, Rows rows) {
  begin_peer_kernel(group);
  const unsigned first = blockIdx.x * blockDim.x + threadIdx.x, step = gridDim.x * blockDim.x;
  Shot shot(group, rows.total);
  for (unsigned i = first; i < rows.total; i += step) shot.send(i, *rows.word(i));
  shot.empty_spent_inbox();
  for (unsigned i = first; i < rows.total; i += step) {
    float sum[Bf16x8::kSize];
    shot.receive(i, *rows.word(i), sum);
    const Bf16x8 rounded = Bf16x8::from(sum);
    *rows.word(i) = reinterpret_cast<const uint4&>(rounded);
  }
}

struct NormRows {
  __nv_bfloat16 *out, *residual;
  const __nv_bfloat16* x;
  const float* weight;
  int64_t out_stride, residual_stride, x_stride;
  int tokens, hidden;
  float eps;
};

// A block takes every gridDim.x-th token, a thread kVectors times eight elements of it. As in rms_norm.cu, what is
// added and what is normed has been rounded.
template <int kVectors>
__global__ void __launch_bounds__(kMaxRowThreads)
    sum_add_norm_kernel(const __grid_constant__ PeerGroup group, const __grid_constant__ NormRows rows) {
  __shared__ float partial[kMaxRowThreads / kWarp];
  const int vectors = rows.hidden / Bf16x8::kSize;
  const auto word_of = [&](int token, int vector) { return static_cast<int64_t>(token) * vectors + vector; };
  const auto x_of = [&](int token, int vector) {
    return *reinterpret_cast<const uint4*>(rows.x + token * rows.x_stride + vector * Bf16x8::kSize);
  };

  begin_peer_kernel(group);
  Shot shot(group, rows.tokens * vectors);
  for (int token = blockIdx.x; token < rows.tokens; token += gridDim.x)
    for (int at = threadIdx.x; at < vectors; at += blockDim.x) shot.send(word_of(token, at), x_of(token, at));
  shot.empty_spent_inbox();

  for (int token = blockIdx.x; token < rows.tokens; token += gridDim.x) {
    float value[kVectors][Bf16x8::kSize], weight[kVectors][Bf16x8::kSize];
    float squares = 0;
#pragma unroll
    for (int v = 0; v < kVectors; v++) {
      const int at = v * blockDim.x + threadIdx.x;
      if (at >= vectors) continue;
      __nv_bfloat16* residual = rows.residual + token * rows.residual_stride + at * Bf16x8::kSize;
      float before[Bf16x8::kSize];
      load8(residual).to(before);
      load8(rows.weight + at * Bf16x8::kSize, weight[v]);
      shot.receive(word_of(token, at), x_of(token, at), value[v]);
      Bf16x8::from(value[v]).to(value[v]);
#pragma unroll
      for (int i = 0; i < Bf16x8::kSize; i++) value[v][i] += before[i];
      const Bf16x8 sum = Bf16x8::from(value[v]);
      store8(residual, sum);
      sum.to(value[v]);
#pragma unroll
      for (int i = 0; i < Bf16x8::kSize; i++) squares += value[v][i] * value[v][i];
    }
    const float scale = rsqrtf(block_sum(squares, partial) / static_cast<float>(rows.hidden) + rows.eps);
#pragma unroll
    for (int v = 0; v < kVectors; v++) {
      const int at = v * blockDim.x + threadIdx.x;
      if (at >= vectors) continue;
#pragma unroll
      for (int i = 0; i < Bf16x8::kSize; i++) value[v][i] *= scale * weight[v][i];
      store8(rows.out + token * rows.out_stride + at * Bf16x8::kSize, Bf16x8::from(value[v]));
    }
    __syncthreads();  // before `partial` is written again
  }
}

template <int kVectors>
void launch_sum_add_norm(const PeerGroup& group, const NormRows& rows, cudaStream_t stream) {
  const int each = kVectors * kWarp, vectors = rows.hidden / Bf16x8::kSize;
  const dim3 block((vectors + each - 1) / each * kWarp), grid(std::min(rows.tokens, group.most_blocks));
  launch(sum_add_norm_kernel<kVectors>, grid, block, 0, stream, group, rows);
}

}  // namespace

void one_shot_sum(const PeerGroup& group, const Tensor& x, cudaStream_t stream) {
  if (x.rows == 0) return;
  Rows rows{.x = static_cast<uint4*>(x.data),
            .words = static_cast<int>(x.cols / Bf16x8::kSize),
            .stride = x.stride / Bf16x8::kSize,
            .total = static_cast<unsigned>(x.rows * x.cols / Bf16x8::kSize)};
  const unsigned wanted = (rows.total + kSumThreads - 1) / kSumThreads;
  const dim3 grid(std::min(wanted, static_cast<unsigned>(group.most_blocks)));
  launch(sum_kernel, grid, dim3(kSumThreads), 0, stream, group, rows);
}

void one_shot_sum_add_rms_norm(const PeerGroup& group, const AddRmsNorm& op, cudaStream_t stream) {
  if (op.x.rows == 0) return;
  const NormRows rows{.out = static_cast<__nv_bfloat16*>(op.out.data),
                      .residual = static_cast<__nv_bfloat16*>(op.residual.data),
                      .x = static_cast<const __nv_bfloat16*>(op.x.data),
                      .weight = op.weight,
                      .out_stride = op.out.stride,
                      .residual_stride = op.residual.stride,
                      .x_stride = op.x.stride,
                      .tokens = static_cast<int>(op.x.rows),
                      .hidden = static_cast<int>(op.x.cols),
                      .eps = op.eps};
  const int vectors = rows.hidden / Bf16x8::kSize;
  if (vectors <= kMaxRowThreads / 2) return launch_sum_add_norm<1>(group, rows, stream);
  if (vectors <= kMaxRowThreads * 2) return launch_sum_add_norm<2>(group, rows, stream);
  launch_sum_add_norm<4>(group, rows, stream);
}

void load_one_shot_kernels() {
  load_kernels(sum_kernel, sum_add_norm_kernel<1>, sum_add_norm_kernel<2>, sum_add_norm_kernel<4>);
}

}  // namespace penstock::cuda
