// What a rank's ids say about rows of logits. A block takes a part of a row, twice: it is in the L1 cache the second
// time. Bound by the read of the logits.
#include "kernels/cuda/candidate_rows.cuh"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/sample.h"

namespace penstock::cuda {
namespace {

constexpr float kNowhere = Candidate::kNowhere;

struct Largest {
  double value = static_cast<double>(kNowhere);
  int32_t id = -1;
  float logit = kNowhere;
  __device__ void meet(double other, int32_t other_id, float other_logit) {
    if (is_before(other, other_id, value, id)) value = other, id = other_id, logit = other_logit;
  }
};

// Of the block; every thread gets it. `shared`: [kPartWarps].
__device__ Largest largest_of_block(Largest own, Largest* shared) {
#pragma unroll
  for (int lanes = kWarp / 2; lanes > 0; lanes /= 2)
    own.meet(__shfl_xor_sync(0xFFFFFFFF, own.value, lanes), __shfl_xor_sync(0xFFFFFFFF, own.id, lanes),
             __shfl_xor_sync(0xFFFFFFFF, own.logit, lanes));
  __syncthreads();
  if (threadIdx.x % kWarp == 0) shared[threadIdx.x / kWarp] = own;
  __syncthreads();
  Largest all;
  for (int w = 0; w < kPartWarps; w++) all.meet(shared[w].value, shared[w].id, shared[w].logit);
  return all;
}

// The largest of row[id - first_id]. `bad` grows when one is NaN or infinite upward.
__device__ Largest find_peak(const BlockIds& block, const float* row, Largest* shared, bool& bad) {
  Largest own;
  bool one_is_bad = false;
  block.for_each_group(row, [&](int id, const float(&x)[4]) {
#pragma unroll
    for (int i = 0; i < 4; i++) {
      one_is_bad |= !(x[i] < __builtin_inff());
      if (x[i] > kNowhere) own.meet(x[i], id + i, x[i]);
    }
  });
  bad |= __syncthreads_or(one_is_bad) != 0;
  return largest_of_block(own, shared);
}

// edited[id - first_id] = what the row is drawn by, for the block's ids.
__device__ void edit(const BlockIds& block, float* edited, const float* logits, const HeadRow& want,
                     const HeadRows& head) {
  const SlotState& slots = head.slots;
  const uint16_t* counts = slots.counts + want.slot * slots.vocab;
  block.for_each_group(logits, [&](int id, const float(&x)[4]) {
#pragma unroll
    for (int i = 0; i < 4; i++)
      if (block.has(id + i))
        edited[id + i - block.first_id] = counts[id + i] != 0 ? penalized(x[i], counts[id + i], want) : x[i];
  });
  __syncthreads();
  if (want.drafted > 0) {
    for_each_drafted(head, want, [&](int32_t id, uint16_t count) {
      if (block.has(id)) edited[id - block.first_id] = penalized(logits[id - block.first_id], count, want);
    });
    __syncthreads();
  }
  const LogitEdit* edits = slots.edits + static_cast<int64_t>(want.slot) * kMaxLogitEdits;
  const int32_t count = slots.num_edits[want.slot];
  // Two edits of one id stand side by side: its first thread does both.
  for (int32_t i = threadIdx.x; i < count; i += kPartThreads) {
    if (!block.has(edits[i].id) || (i > 0 && edits[i - 1].id == edits[i].id)) continue;
    for (int32_t j = i; j < count && edits[j].id == edits[i].id; j++)
      if (want.position < edits[j].until) edited[edits[i].id - block.first_id] += edits[j].bias;
  }
  __syncthreads();
}

// The largest scaled logit plus noise.
__device__ Largest draw(const BlockIds& block, const float* row, float peak, const HeadRow& want, Largest* shared) {
  const RowScale scale = RowScale::of(peak, want);
  Largest own;
  block.for_each_group(row, [&](int id, const float(&x)[4]) {
    const RandomWords words = random_words(want.seed, want.choice, want.position, RandomUse::token, id / 4);
#pragma unroll
    for (int i = 0; i < 4; i++)
      if (x[i] > kNowhere) own.meet(scale(x[i]) + gumbel(words.word[i]), id + i, x[i]);
  });
  Largest key = largest_of_block(own, shared);
  key.value += static_cast<double>(peak) * static_cast<double>(scale.inverse);
  return key;
}

__device__ float sum_of_exp(const BlockIds& block, const float* row, float peak, float* partial) {
  float total = 0;
  block.for_each_group(row, [&](int, const float(&x)[4]) {
#pragma unroll
    for (int i = 0; i < 4; i++) total += expf(x[i] - peak);
  });
  return block_sum(total, partial);
}

__global__ void __launch_bounds__(kPartThreads)
    find_kernel(const __grid_constant__ PartRows rows, const __grid_constant__ HeadRows head, Candidate* candidates) {
  __shared__ Largest shared[kPartWarps];
  __shared__ float partial[kPartWarps];
  const int part = blockIdx.x, row = blockIdx.y;
  wait_for_previous_kernel();
  const HeadRow want = head.want[row];
  if (needs_whole_row(want) || is_padding(want)) return;

  const BlockIds block(rows, part);
  const float* logits = rows.logits + row * rows.stride;
  Candidate found;
  bool bad = false;
  const Largest peak = find_peak(block, logits, shared, bad);
  Largest key, drawn_peak = peak;
  if (peak.id >= 0) {
    found.total = sum_of_exp(block, logits, peak.logit, partial);
    if (want.target >= 0) {
      if (block.has(want.target)) key.meet(0, want.target, kNowhere);
    } else {
      const float* drawn_by = logits;
      if (want.edits != 0) {
        float* edited = rows.edited + row * rows.edited_stride;
        edit(block, edited, logits, want, head);
        drawn_by = edited;
        drawn_peak = find_peak(block, edited, shared, bad);
      }
      if (takes_likeliest(want) || drawn_peak.id < 0)
        key = drawn_peak;
      else
        key = draw(block, drawn_by, drawn_peak.logit, want, shared);
    }
  }
  if (threadIdx.x != 0) return;
  found.key = key.value, found.key_id = key.id, found.key_edited = key.logit;
  if (key.id >= 0) found.key_logit = logits[key.id - rows.first_id];
  found.peak = peak.logit, found.peak_id = peak.id;
  found.edited_peak = drawn_peak.logit, found.edited_peak_id = drawn_peak.id;
  found.bad = bad;
  candidates[row * kCandidateParts + part] = found;
}

}  // namespace

void find_candidates(const FindCandidates& op, cudaStream_t stream) {
  if (op.part.logits.rows == 0) return;
  launch(find_kernel, dim3(kCandidateParts, static_cast<unsigned>(op.part.logits.rows)), dim3(kPartThreads), 0, stream,
         rows_of(op.part), rows_of(op.head, nullptr), op.candidates);
}

}  // namespace penstock::cuda
