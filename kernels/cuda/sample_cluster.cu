// A cluster of blocks a row.
#include "kernels/cuda/cluster_sampler.cuh"
#include "kernels/cuda/head_rows.cuh"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/sample.h"

namespace penstock::cuda {
namespace {

constexpr int kBlocksPerSm = 3;  // rows of 128k ids: while one block waits for its copies, the others compute

int64_t shared_bytes(int64_t vocab) {
  return static_cast<int64_t>(sizeof(ClusterShared)) + 4 * ClusterRow::part_of(static_cast<int32_t>(vocab));
}

// The row's logits become what the slot's penalties and edits make of them.
__device__ void edit(ClusterSampler& row, const HeadRow& want, const HeadRows& op, const float* logits) {
  const SlotState& slots = op.slots;
  const uint16_t* counts = slots.counts + want.slot * slots.vocab;
  row.change_each([&](int32_t id, float& logit) {
    if (counts[id] != 0) logit = penalized(logit, counts[id], want);
  });
  if (want.drafted > 0) {
    for_each_drafted(op, want, [&](int32_t id, uint16_t count) {
      if (row.owns(id)) row.logit(id) = penalized(logits[id], count, want);
    });
    __syncthreads();
  }
  const LogitEdit* edits = slots.edits + static_cast<int64_t>(want.slot) * kMaxLogitEdits;
  const int32_t count = slots.num_edits[want.slot];
  // Two edits of one id stand side by side: its first thread does both.
  for (int32_t i = threadIdx.x; i < count; i += kClusterThreads) {
    if (!row.owns(edits[i].id) || (i > 0 && edits[i - 1].id == edits[i].id)) continue;
    for (int32_t j = i; j < count && edits[j].id == edits[i].id; j++)
      if (want.position < edits[j].until) row.logit(edits[i].id) += edits[j].bias;
  }
  __syncthreads();
}

// From a row whose weights add up to `total`. The first block alone need have the result.
__device__ int32_t draw(ClusterSampler& row, const HeadRow& want, int32_t vocab, const Peak& peak, double total) {
  const RowScale scale = RowScale::of(peak.logit, want.temperature);
  const float least = want.min_p > 0 ? fminf(static_cast<float>(log(static_cast<double>(want.min_p))), 0) : kNowhere;
  const bool limited = want.top_k > 0 && want.top_k < vocab;
  if (want.top_p < 1 && !limited) return row.draw_nucleus(scale, want, want.top_p, total, least);
  Cut cut;
  if (limited) cut = row.largest(scale, cut, want.top_k);
  if (want.top_p < 1) cut = row.nucleus(scale, cut, want.top_p);
  if (least > cut.lowest) cut = {least, INT32_MAX};
  return row.draw(scale, want, cut);
}

__device__ void write_top(ClusterSampler& row, TopLogprob* top, const float* logits, int32_t vocab, int32_t count,
                          const Peak& peak) {
  const RowScale raw = RowScale::of(peak.logit, 1);
  row.write_kept(top, logits, raw, count < vocab ? row.largest(raw, Cut(), count) : Cut(), peak);
}

// The leader's result is the row's.
__device__ HeadResult sample_row(ClusterSampler& row, const HeadRows& op, const HeadRow& want, const float* logits,
                                 TopLogprob* top) {
  const bool draws = !takes_likeliest(want), edited = want.edits != 0;
  const float inverse_temperature = draws ? RowScale::of(0, want.temperature).inverse : 1;
  double scaled_total;
  const Peak peak = row.find_peak(edited ? 1 : inverse_temperature, scaled_total);
  if (!peak.finite()) {
    if (top && row.is_leader()) write_no_top(top);
    return {.token = -1, .logprob = 0, .flags = HeadResult::kNonFinite};
  }
  if (top) write_top(row, top, logits, op.vocab, want.top_logprobs, peak);
  Peak drawn_from = peak;
  if (edited) {
    edit(row, want, op, logits);
    drawn_from = row.find_peak(inverse_temperature, scaled_total);
    if (!drawn_from.finite())
      return {.token = -1, .logprob = 0, .flags = drawn_from.bad ? HeadResult::kNonFinite : HeadResult::kAllBanned};
  }
  const int32_t token = draws ? draw(row, want, op.vocab, drawn_from, scaled_total) : drawn_from.id;
  if (!row.is_leader()) return {};
  return {.token = token, .logprob = log_probability(logits[token], peak), .flags = 0};
}

__device__ HeadResult score_row(ClusterSampler& row, const HeadRows& op, const HeadRow& want, const float* logits,
                                TopLogprob* top) {
  double ignored;
  const Peak peak = row.find_peak(1, ignored);
  if (!peak.finite()) {
    if (top && row.is_leader()) write_no_top(top);
    return {.token = -1, .logprob = 0, .flags = HeadResult::kNonFinite};
  }
  if (top) write_top(row, top, logits, op.vocab, want.top_logprobs, peak);
  if (!row.is_leader()) return {};
  return {.token = want.target,
          .logprob = log_probability(logits[want.target], peak),
          .flags = want.target == peak.id ? HeadResult::kArgmax : 0};
}

template <bool kScore>
__global__ void __launch_bounds__(kClusterThreads, kBlocksPerSm) cluster_kernel(HeadRows op, bool aligned) {
#if __CUDA_ARCH__ >= 900
  extern __shared__ __align__(128) char memory[];
  wait_for_previous_kernel();
  const int r = blockIdx.x / kClusterBlocks;
  const HeadRow& want = op.want[r];
  if (kScore ? want.target < 0 : want.slot < 0 || want.target >= 0) return;  // the whole cluster
  const float* logits = op.logits + r * op.stride;
  TopLogprob* top = want.top_logprobs > 0 ? op.top + static_cast<int64_t>(r) * kMaxTopLogprobs : nullptr;
  ClusterSampler row(*reinterpret_cast<ClusterShared*>(memory), op.vocab);
  row.load(logits, aligned);
  const HeadResult result = kScore ? score_row(row, op, want, logits, top) : sample_row(row, op, want, logits, top);
  if (!row.is_leader()) return;
  op.results[r] = result;
  if (!kScore) keep(op, want, result.token);
#endif
}

template <bool kScore>
void run(const Head& op, cudaStream_t stream) {
  if (op.logits.rows == 0) return;
  const HeadRows rows = rows_of(op, nullptr);
  const bool aligned = rows.stride % 4 == 0 && reinterpret_cast<uintptr_t>(rows.logits) % 16 == 0;
  launch_clusters(cluster_kernel<kScore>, kClusterBlocks, dim3(rows.rows * kClusterBlocks), dim3(kClusterThreads),
                  static_cast<size_t>(shared_bytes(rows.vocab)), stream, rows, aligned);
}

}  // namespace

bool fits_cluster(const Head& op) {
  constexpr int64_t kMostIds = int64_t{kClusterBlocks} << 15;  // Band counts on it, and the sums of masses
  return op.logits.cols <= kMostIds && compute_capability() >= 90 &&
         shared_bytes(op.logits.cols) <= attribute(cudaDevAttrMaxSharedMemoryPerBlockOptin);
}

void sample_in_clusters(const Head& op, cudaStream_t stream) { run<false>(op, stream); }
void score_in_clusters(const Head& op, cudaStream_t stream) { run<true>(op, stream); }

}  // namespace penstock::cuda
