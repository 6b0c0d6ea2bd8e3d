// What a rank's ids say about rows of logits, and what all ranks' ids decide. A block takes a part of a row, twice: it
// is in the L1 cache the second time. Bound by the read of the logits.
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/sample.h"
#include "kernels/cuda/vector.cuh"

namespace penstock::cuda {
namespace {

constexpr int kThreads = 256, kWarps = kThreads / kWarp;
constexpr int kChoosers = 64;  // rows of a block
constexpr float kNowhere = Candidate::kNowhere;

struct PartRows {
  const float* logits;
  int64_t stride;
  int32_t first_id, ids;
  const HeadRow* rows;
  Candidate* candidates;
  HeadRow* others;
};

struct Largest {
  double value = static_cast<double>(kNowhere);
  int32_t id = -1;
  float logit = kNowhere;
  __device__ void meet(double other, int32_t other_id, float other_logit) {
    if (is_before(other, other_id, value, id)) value = other, id = other_id, logit = other_logit;
  }
};

// Of the block; every thread gets it. `shared`: [kWarps].
__device__ Largest largest_of_block(Largest own, Largest* shared) {
#pragma unroll
  for (int lanes = kWarp / 2; lanes > 0; lanes /= 2)
    own.meet(__shfl_xor_sync(0xFFFFFFFF, own.value, lanes), __shfl_xor_sync(0xFFFFFFFF, own.id, lanes),
             __shfl_xor_sync(0xFFFFFFFF, own.logit, lanes));
  __syncthreads();
  if (threadIdx.x % kWarp == 0) shared[threadIdx.x / kWarp] = own;
  __syncthreads();
  Largest all;
  for (int w = 0; w < kWarps; w++) all.meet(shared[w].value, shared[w].id, shared[w].logit);
  return all;
}

// A part of a row's ids in groups of four, as random words come: visit(first id, logits), -inf beyond the rank's ids.
template <class Visit>
__device__ void for_each_group(const PartRows& op, int row, int part, Visit visit) {
  const float* logits = op.logits + row * op.stride;
  const int first = op.first_id / 4, groups = (op.first_id + op.ids + 3) / 4 - first;
  const int begin = first + static_cast<int>(static_cast<int64_t>(groups) * part / kCandidateParts),
            end = first + static_cast<int>(static_cast<int64_t>(groups) * (part + 1) / kCandidateParts);
  for (int group = begin + threadIdx.x; group < end; group += kThreads) {
    float x[4];
#pragma unroll
    for (int i = 0; i < 4; i++) {
      const int at = 4 * group + i - op.first_id;
      x[i] = at >= 0 && at < op.ids ? logits[at] : kNowhere;
    }
    visit(4 * group, x);
  }
}

__device__ void draw(Largest& best, int id, const float (&x)[4], float peak, const HeadRow& want) {
  const float inverse = 1.0f / fmaxf(want.temperature, 1e-30f);
  const RandomWords words = random_words(want.seed, want.choice, want.position, RandomUse::token, id / 4);
#pragma unroll
  for (int i = 0; i < 4; i++)
    if (x[i] > kNowhere) best.meet((x[i] - peak) * inverse + gumbel(words.word[i]), id + i, x[i]);
}

__global__ void __launch_bounds__(kThreads) find_kernel(const __grid_constant__ PartRows op) {
  __shared__ Largest shared[kWarps];
  __shared__ float partial[kWarps];
  const int part = blockIdx.x, row = blockIdx.y;
  wait_for_previous_kernel();
  const HeadRow want = op.rows[row];
  const bool whole = needs_whole_row(want);
  if (part == 0 && threadIdx.x == 0) op.others[row] = whole ? want : HeadRow{};
  if (whole || is_padding(want)) return;

  Largest own;
  bool bad = false;
  for_each_group(op, row, part, [&](int id, const float(&x)[4]) {
#pragma unroll
    for (int i = 0; i < 4; i++) {
      bad |= !(x[i] < __builtin_inff());
      if (x[i] > kNowhere) own.meet(x[i], id + i, x[i]);
    }
  });
  bad = __syncthreads_or(bad);
  const Largest peak = largest_of_block(own, shared);

  const bool has_target = want.target >= op.first_id && want.target < op.first_id + op.ids;
  const bool draws = want.target < 0 && !takes_likeliest(want);
  Largest key;
  float total = 0;
  for_each_group(op, row, part, [&](int id, const float(&x)[4]) {
    if (peak.id < 0) return;
#pragma unroll
    for (int i = 0; i < 4; i++) {
      total += expf(x[i] - peak.logit);
      if (has_target && want.target == id + i) key.meet(0, id + i, x[i]);
    }
    if (draws) draw(key, id, x, peak.logit, want);
  });
  total = block_sum(total, partial);
  key = largest_of_block(key, shared);
  if (threadIdx.x != 0) return;
  const double shift =
      draws ? static_cast<double>(peak.logit) * static_cast<double>(1.0f / fmaxf(want.temperature, 1e-30f)) : 0;
  op.candidates[row * kCandidateParts + part] = {.key = key.value + (key.id < 0 ? 0 : shift),
                                                 .key_logit = key.logit,
                                                 .key_id = key.id,
                                                 .peak = peak.logit,
                                                 .peak_id = peak.id,
                                                 .total = total,
                                                 .bad = bad};
}

// A thread decides a row.
__global__ void __launch_bounds__(kChoosers) choose_kernel(const __grid_constant__ ChooseCandidates op) {
  const int64_t row = blockIdx.x * kChoosers + threadIdx.x;
  wait_for_previous_kernel();
  if (row >= op.num_rows) return;
  const HeadRow want = op.rows[row];
  if (needs_whole_row(want) || is_padding(want)) return;
  const int64_t count = op.ranks * kCandidateParts;
  const HeadResult result = choose(op.candidates + row * count, count, want);
  op.results[row] = result;
  if (want.target < 0) keep_token(want, result.token, op.last_tokens, op.drafts);
}

}  // namespace

void find_candidates(const FindCandidates& op, cudaStream_t stream) {
  if (op.part.rows == 0) return;
  const PartRows rows{.logits = static_cast<const float*>(op.part.data),
                      .stride = op.part.stride,
                      .first_id = static_cast<int32_t>(op.first_id),
                      .ids = static_cast<int32_t>(op.ids),
                      .rows = op.rows,
                      .candidates = op.candidates,
                      .others = op.others};
  launch(find_kernel, dim3(kCandidateParts, static_cast<unsigned>(op.part.rows)), dim3(kThreads), 0, stream, rows);
}

void choose_candidates(const ChooseCandidates& op, cudaStream_t stream) {
  if (op.num_rows == 0) return;
  const dim3 grid(static_cast<unsigned>((op.num_rows + kChoosers - 1) / kChoosers));
  launch(choose_kernel, grid, dim3(kChoosers), 0, stream, op);
}

}  // namespace penstock::cuda
