// A thread block a row; blocks take several rows where there are more than the device holds at once.
#include "kernels/cuda/sample.h"

#include <algorithm>

#include "kernels/cuda/head_rows.cuh"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/sample_row.cuh"

namespace penstock::cuda {
namespace {

constexpr int64_t kMostBlocks = 256;

int64_t blocks_for(int64_t rows) { return std::min(rows, kMostBlocks); }

__device__ void edit_row(float* edited, const float* logits, const HeadRow& want, const HeadRows& op) {
  const SlotState& slots = op.slots;
  const uint16_t* counts = slots.counts + want.slot * slots.vocab;
  for (int32_t id = threadIdx.x; id < op.vocab; id += kRowThreads)
    edited[id] = counts[id] != 0 ? penalized(logits[id], counts[id], want) : logits[id];
  __syncthreads();
  if (want.drafted > 0) {
    for_each_drafted(op, want, [&](int32_t id, uint16_t count) { edited[id] = penalized(logits[id], count, want); });
    __syncthreads();
  }
  add_biases(
      op, want, [&](int32_t id) { return id < op.vocab; }, [&](int32_t id) -> float& { return edited[id]; });
}

// From logits with that peak.
__device__ int32_t choose(RowShared& shared, const float* logits, int32_t vocab, const HeadRow& want,
                          const Peak& peak) {
  if (takes_likeliest(want)) return peak.id;
  const ScaledRow row(logits, vocab, peak.logit, want.temperature);
  draw(shared, row, want, filter(shared, row, want));
  return shared.best_id < 0 ? peak.id : shared.best_id;
}

__device__ HeadResult sample_row(RowShared& shared, const HeadRows& op, int32_t r) {
  const HeadRow want = op.want[r];
  const float* logits = op.logits + r * op.stride;
  TopLogprob* top = want.top_logprobs > 0 ? op.top + static_cast<int64_t>(r) * kMaxTopLogprobs : nullptr;
  const Peak peak = find_peak(shared, logits, op.vocab);
  if (!peak.finite()) {
    if (top && threadIdx.x == 0) write_no_top(top);
    return {.token = -1, .logprob = 0, .flags = HeadResult::kNonFinite};
  }
  if (top) write_top(shared, top, logits, op.vocab, want.top_logprobs, peak);
  HeadResult result{.token = -1, .logprob = 0, .flags = 0};
  if (want.edits == 0) {
    result.token = choose(shared, logits, op.vocab, want, peak);
  } else {
    float* edited = op.edited + static_cast<int64_t>(blockIdx.x) * op.vocab;
    edit_row(edited, logits, want, op);
    const Peak edited_peak = find_peak(shared, edited, op.vocab);
    if (!edited_peak.finite()) {
      result.flags = edited_peak.bad ? HeadResult::kNonFinite : HeadResult::kAllBanned;
      return result;
    }
    result.token = choose(shared, edited, op.vocab, want, edited_peak);
  }
  result.logprob = log_probability(logits[result.token], peak);
  return result;
}

__global__ void __launch_bounds__(kRowThreads) sample_kernel(HeadRows op) {
  __shared__ RowShared shared;
  wait_for_previous_kernel();
  for (int32_t r = blockIdx.x; r < op.rows; r += gridDim.x) {
    if (op.want[r].slot < 0 || op.want[r].target >= 0) continue;
    const HeadResult result = sample_row(shared, op, r);
    if (threadIdx.x == 0) {
      op.results[r] = result;
      keep(op, op.want[r], result.token);
    }
    __syncthreads();
  }
}

__global__ void __launch_bounds__(kRowThreads) score_kernel(HeadRows op) {
  __shared__ RowShared shared;
  wait_for_previous_kernel();
  for (int32_t r = blockIdx.x; r < op.rows; r += gridDim.x) {
    const HeadRow want = op.want[r];
    if (want.target < 0) continue;
    const float* logits = op.logits + r * op.stride;
    TopLogprob* top = want.top_logprobs > 0 ? op.top + static_cast<int64_t>(r) * kMaxTopLogprobs : nullptr;
    const Peak peak = find_peak(shared, logits, op.vocab);
    if (top && peak.finite()) write_top(shared, top, logits, op.vocab, want.top_logprobs, peak);
    if (top && !peak.finite() && threadIdx.x == 0) write_no_top(top);
    if (threadIdx.x == 0) {
      if (peak.finite())
        op.results[r] = {want.target, log_probability(logits[want.target], peak),
                         want.target == peak.id ? HeadResult::kArgmax : 0};
      else
        op.results[r] = {-1, 0, HeadResult::kNonFinite};
    }
    __syncthreads();
  }
}

}  // namespace

int64_t sample_workspace_bytes(int64_t rows, int64_t vocab) { return blocks_for(rows) * vocab * 4; }

void sample(const Head& op, void* workspace, int64_t workspace_bytes, cudaStream_t stream) {
  if (op.logits.rows == 0) return;
  if (workspace_bytes < sample_workspace_bytes(op.logits.rows, op.logits.cols))
    throw Error(ExitCode::internal, "sample: the workspace is too small");
  launch(sample_kernel, dim3(static_cast<unsigned>(blocks_for(op.logits.rows))), dim3(kRowThreads), 0, stream,
         rows_of(op, workspace));
}

void score(const Head& op, void* workspace, int64_t, cudaStream_t stream) {
  if (op.logits.rows == 0) return;
  launch(score_kernel, dim3(static_cast<unsigned>(blocks_for(op.logits.rows))), dim3(kRowThreads), 0, stream,
         rows_of(op, workspace));
}

}  // namespace penstock::cuda
