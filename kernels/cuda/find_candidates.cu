// What a rank's ids say about rows of logits. A block takes a part of a row, twice: it is in the L1 cache the second
// time. Bound by the read of the logits.
#include "kernels/cuda/candidate_rows.cuh"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/sample.h"

namespace penstock::cuda {
namespace {

// Of a block: where rows are few, more of them for each.
constexpr int kManyRows = 48, kPartThreads = 256, kMostThreads = 512, kMostWarps = kMostThreads / kWarp;
constexpr float kNowhere = Candidate::kNowhere;

struct Largest {
  float value = kNowhere;
  int32_t id = -1;
  float logit = kNowhere;
  __device__ void meet(const Largest& other) {
    if (is_before(other.value, other.id, value, id)) *this = other;
  }
};

// Of the block; every thread gets it. `shared`: [kMostWarps].
__device__ Largest largest_of_block(Largest own, Largest* shared) {
#pragma unroll
  for (int lanes = kWarp / 2; lanes > 0; lanes /= 2)
    own.meet({__shfl_xor_sync(0xFFFFFFFF, own.value, lanes), __shfl_xor_sync(0xFFFFFFFF, own.id, lanes),
              __shfl_xor_sync(0xFFFFFFFF, own.logit, lanes)});
  __syncthreads();
  if (threadIdx.x % kWarp == 0) shared[threadIdx.x / kWarp] = own;
  __syncthreads();
  Largest all;
  for (int w = 0; w < blockDim.x / kWarp; w++) all.meet(shared[w]);
  return all;
}

// The largest of row[id - first_id]. `bad` is set when one is NaN or infinite upward.
__device__ Largest find_peak(const BlockIds& block, const float* row, Largest* shared, bool& bad) {
  Largest own;
  bool one_is_bad = false;
  block.for_each_group(row, [&](int id, const float(&x)[4]) {
#pragma unroll
    for (float one : x) one_is_bad |= !(one < __builtin_inff());
    if (!(fmaxf(fmaxf(x[0], x[1]), fmaxf(x[2], x[3])) > own.value)) return;
#pragma unroll
    for (int i = 0; i < 4; i++)
      if (x[i] > own.value) own = {x[i], id + i, x[i]};  // a thread's ids ascend
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
  add_biases(
      head, want, [&](int32_t id) { return block.has(id); },
      [&](int32_t id) -> float& { return edited[id - block.first_id]; });
}

// Of a part's second reading.
struct Reading {
  float total = 0;  // of exp(logit - peak)
  Largest key;      // the largest scaled logit plus noise, of a row that is drawn from
};

// What one thread reads. An id gets its noise only where that could make it win, beside the part's likeliest one.
class Reader {
 public:
  __device__ Reader(const HeadRow& want, const Largest& peak, bool draws)
      : want_(want), scale_(RowScale::of(peak.logit, want.temperature)), draws_(draws) {
    if (!draws_) return;
    const RandomWords words = words_of(peak.id);
#pragma unroll
    for (int i = 0; i < 4; i++)
      if (peak.id % 4 == i) reading.key = {key_of(peak.logit, words.word[i]), peak.id, peak.logit};
  }
  __device__ void operator()(int id, const float (&x)[4]) {
#pragma unroll
    for (float one : x) reading.total += exp_approximate(one - scale_.peak);
    if (!draws_) return;
    const RandomWords words = words_of(id);
#pragma unroll
    for (int i = 0; i < 4; i++)
      if (may_reach(reading.key.value, scale_(x[i]), words.word[i]))
        reading.key.meet({key_of(x[i], words.word[i]), id + i, x[i]});
  }

  Reading reading;

 private:
  __device__ RandomWords words_of(int32_t id) const {
    return random_words(want_.seed, want_.choice, want_.position, RandomUse::token, static_cast<uint32_t>(id) / 4);
  }
  __device__ float key_of(float logit, uint32_t word) const { return scale_(logit) + gumbel(word); }
  // Noise is -log(-log(1 - w)) < -log w: w must not be above exp(scaled - key), nor that and 1e-3 of it for roundings.
  __device__ static bool may_reach(float key, float scaled, uint32_t word) {
    const float one_and_w = __uint_as_float(__funnelshift_r(word, 0x7F, 9));  // rounded down
    return one_and_w <= 1 + exp_approximate(scaled - key + 1e-3f);
  }

  const HeadRow& want_;
  const RowScale scale_;
  const bool draws_;
};

// Shared memory of a block.
struct FindShared {
  Largest largest[kMostWarps];
  float partial[kMostWarps];
};

__device__ Reading read_again(FindShared& shared, const BlockIds& block, const float* row, const Largest& peak,
                              const HeadRow& want, bool draws) {
  Reader reader(want, peak, draws);
  block.for_each_group(row, [&](int id, const float(&x)[4]) { reader(id, x); });
  Reading all{.total = block_sum(reader.reading.total, shared.partial), .key = {}};
  if (draws) all.key = largest_of_block(reader.reading.key, shared.largest);
  __syncthreads();  // before `partial` is written again
  return all;
}

__global__ void __launch_bounds__(kMostThreads, 2)
    find_kernel(const __grid_constant__ PartRows rows, const __grid_constant__ HeadRows head, Candidate* candidates) {
  __shared__ FindShared shared;
  const int part = blockIdx.x, row = blockIdx.y;
  wait_for_previous_kernel();
  const HeadRow want = head.want[row];
  if (needs_whole_row(want) || is_padding(want)) return;
  const bool scores = want.target >= 0, edits = !scores && want.edits != 0, draws = !scores && !takes_likeliest(want);

  const BlockIds block(rows, part);
  const float* logits = rows.logits + row * rows.stride;
  bool bad = false;
  const Largest peak = find_peak(block, logits, shared.largest, bad);
  Reading reading;
  if (peak.id >= 0) reading = read_again(shared, block, logits, peak, want, draws && !edits);
  Largest edited_peak = peak, key = draws ? reading.key : peak;
  if (edits) {
    float* edited = rows.edited + row * rows.edited_stride;
    edit(block, edited, logits, want, head);
    key = edited_peak = find_peak(block, edited, shared.largest, bad);
    if (draws && edited_peak.id >= 0) key = read_again(shared, block, edited, edited_peak, want, true).key;
  }
  if (scores) key = {0, peak.id >= 0 && block.has(want.target) ? want.target : -1, kNowhere};
  if (threadIdx.x != 0) return;
  Candidate found{.key = key.value, .key_id = key.id, .key_edited = key.logit};
  if (draws)
    found.key +=
        static_cast<double>(edited_peak.logit) * static_cast<double>(RowScale::of(0, want.temperature).inverse);
  if (key.id >= 0) found.key_logit = logits[key.id - rows.first_id];
  found.peak = peak.logit, found.peak_id = peak.id, found.total = reading.total;
  found.edited_peak = edited_peak.logit, found.edited_peak_id = edited_peak.id;
  found.bad = bad;
  candidates[row * kCandidateParts + part] = found;
}

}  // namespace

void find_candidates(const FindCandidates& op, cudaStream_t stream) {
  if (op.part.logits.rows == 0) return;
  const auto rows = static_cast<unsigned>(op.part.logits.rows);
  launch(find_kernel, dim3(kCandidateParts, rows), dim3(rows < kManyRows ? kMostThreads : kPartThreads), 0, stream,
         rows_of(op.part), rows_of(op.head, nullptr), op.candidates);
}

}  // namespace penstock::cuda
