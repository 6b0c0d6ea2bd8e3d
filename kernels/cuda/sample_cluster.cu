// Clusters of blocks, each of which takes one row after the other.
#include <algorithm>

#include "kernels/cuda/cluster_sampler.cuh"
#include "kernels/cuda/head_rows.cuh"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/sample.h"

namespace penstock::cuda {
namespace {

// Of rows of 128k ids: while one waits for the others of its cluster, the other computes.
constexpr int kBlocksPerSm = 2;

// Of a block, at most.
__host__ __device__ int pieces_for(int32_t vocab) { return ClusterPlan::pieces_of(ClusterPlan::part_of(vocab)); }
// Of the ring in a block's memory.
__host__ __device__ int ring_offset(int32_t vocab) {
  return (static_cast<int>(sizeof(ClusterShared)) + scratch_bytes(pieces_for(vocab)) + 127) / 128 * 128;
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
  add_biases(
      op, want, [&](int32_t id) { return row.owns(id); }, [&](int32_t id) -> float& { return row.logit(id); });
}

// From a row whose weights add up to `total`; logits: as device memory has them. `value` of the result: the logit,
// there or as it was edited.
__device__ Best draw(ClusterSampler& row, const HeadRow& want, const float* logits, int32_t vocab, const Peak& peak,
                     float total) {
  const RowScale scale = RowScale::of(peak.logit, want.temperature);
  const float least = want.min_p > 0 ? fminf(static_cast<float>(log(static_cast<double>(want.min_p))), 0) : kNowhere;
  const bool limited = want.top_k > 0 && want.top_k < vocab;
  if (!limited) {
    const Best drawn = row.draw_contender(scale, want, {want.top_p, least}, total);
    if (drawn.id >= 0) return drawn;
  }
  Cut cut;
  if (limited) cut = row.largest(scale, cut, want.top_k);
  if (want.top_p < 1) cut = row.nucleus(scale, cut, want.top_p);
  if (least > cut.lowest) cut = {least, INT32_MAX};
  const int32_t id = row.draw(scale, want, cut);
  return {logits[id], id};
}

__device__ void write_top(ClusterSampler& row, TopLogprob* top, const float* logits, int32_t vocab, int32_t count,
                          const Peak& peak) {
  const RowScale raw = RowScale::of(peak.logit, 1);
  row.write_kept(top, logits, raw, count < vocab ? row.largest(raw, Cut(), count) : Cut(), peak);
}

// The leader's result is the row's.
[[maybe_unused]] __device__ HeadResult sample_row(ClusterSampler& row, const HeadRows& op, const HeadRow& want,
                                                  const float* logits, TopLogprob* top) {
  const bool draws = !takes_likeliest(want), edited = want.edits != 0;
  const float inverse_temperature = draws ? RowScale::of(0, want.temperature).inverse : 1;
  float scaled_total;
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
  const Best token =
      draws ? draw(row, want, logits, op.vocab, drawn_from, scaled_total) : Best{drawn_from.logit, drawn_from.id};
  if (!row.is_leader()) return {};
  return {.token = token.id, .logprob = log_probability(edited ? logits[token.id] : token.value, peak), .flags = 0};
}

[[maybe_unused]] __device__ HeadResult score_row(ClusterSampler& row, const HeadRows& op, const HeadRow& want,
                                                 const float* logits, TopLogprob* top) {
  const float logit = row.is_leader() ? logits[want.target] : 0;  // on its way while the row is looked at
  float ignored;
  const Peak peak = row.find_peak(1, ignored);
  if (!peak.finite()) {
    if (top && row.is_leader()) write_no_top(top);
    return {.token = -1, .logprob = 0, .flags = HeadResult::kNonFinite};
  }
  if (top) write_top(row, top, logits, op.vocab, want.top_logprobs, peak);
  if (!row.is_leader()) return {};
  return {.token = want.target,
          .logprob = log_probability(logit, peak),
          .flags = want.target == peak.id ? HeadResult::kArgmax : 0};
}

template <bool kScore>
__global__ void __launch_bounds__(kClusterThreads, kBlocksPerSm)
    cluster_kernel(const __grid_constant__ HeadRows op, const __grid_constant__ ClusterPlan plan) {
#if __CUDA_ARCH__ >= 900
  char* memory = dynamic_shared_memory();
  wait_for_previous_kernel();
  ClusterRows rows(op.rows, [&](int32_t r) {
    const HeadRow& want = op.want[r];
    return kScore ? want.target >= 0 : want.slot >= 0 && want.target < 0;
  });
  if (!rows.any()) return;  // the whole cluster
  auto& shared = *reinterpret_cast<ClusterShared*>(memory);
  ClusterSampler row(shared, &shared + 1, reinterpret_cast<float4*>(memory + ring_offset(op.vocab)), op, plan, rows);
  while (rows.any()) {
    const int32_t r = rows.next();
    const HeadRow want = op.want[r];
    const float* logits = op.logits + r * op.stride;
    TopLogprob* top = want.top_logprobs > 0 ? op.top + static_cast<int64_t>(r) * kMaxTopLogprobs : nullptr;
    row.begin(logits);
    const HeadResult result = kScore ? score_row(row, op, want, logits, top) : sample_row(row, op, want, logits, top);
    if (row.is_leader()) {
      op.results[r] = result;
      if (!kScore) keep(op, want, result.token);
    }
    row.end();
  }
  cluster_sync();  // others may look at this block's memory until here
#endif
}

// What a block of a cluster needs.
struct ClusterLaunch {
  ClusterPlan plan;
  size_t bytes;
};
int64_t bytes_for(int32_t vocab, int slots) { return ring_offset(vocab) + int64_t{slots} * kPieceBytes; }

// The whole row must be there at once, and a piece of the next is wanted.
ClusterLaunch launch_for(const Head& op) {
  const auto vocab = static_cast<int32_t>(op.logits.cols);
  const int pieces = pieces_for(vocab);
  const auto slots_in = [&](int64_t bytes) {
    return std::min({2 * pieces, kMostSlots, static_cast<int>((bytes - ring_offset(vocab)) / kPieceBytes)});
  };
  int slots = slots_in(attribute(cudaDevAttrMaxSharedMemoryPerMultiprocessor) / kBlocksPerSm -
                       attribute(cudaDevAttrReservedSharedMemoryPerBlock));
  // Else a block has the SM for itself.
  if (slots <= pieces) slots = slots_in(attribute(cudaDevAttrMaxSharedMemoryPerBlockOptin));
  const bool aligned = op.logits.stride % 4 == 0 && reinterpret_cast<uintptr_t>(op.logits.data) % 16 == 0;
  return {{vocab, slots, aligned}, static_cast<size_t>(bytes_for(vocab, slots))};
}

template <bool kScore>
void run(const Head& op, cudaStream_t stream) {
  if (op.logits.rows == 0) return;
  const auto [plan, bytes] = launch_for(op);
  const auto rows = static_cast<int>(op.logits.rows);
  const int at_once = clusters_at_once(cluster_kernel<kScore>, kClusterBlocks, dim3(kClusterThreads), bytes);
  const int clusters = std::max(std::min(rows, at_once), (rows + kWarp - 1) / kWarp);
  launch_clusters(cluster_kernel<kScore>, kClusterBlocks, dim3(static_cast<unsigned>(clusters * kClusterBlocks)),
                  dim3(kClusterThreads), bytes, stream, rows_of(op, nullptr), plan);
}

}  // namespace

bool fits_cluster(const Head& op) {
  constexpr int64_t kMostIds = int64_t{kClusterBlocks} << 15;  // Band counts on it, and the sums of masses
  return op.logits.cols <= kMostIds && compute_capability() >= 90 &&
         bytes_for(static_cast<int32_t>(op.logits.cols), pieces_for(static_cast<int32_t>(op.logits.cols))) <=
             attribute(cudaDevAttrMaxSharedMemoryPerBlockOptin);
}

void sample_in_clusters(const Head& op, cudaStream_t stream) { run<false>(op, stream); }
void score_in_clusters(const Head& op, cudaStream_t stream) { run<true>(op, stream); }

}  // namespace penstock::cuda
