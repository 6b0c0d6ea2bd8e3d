// What follows sampling where tokens are drafted. Bound by the launch.
#include "kernels/cuda/head_rows.cuh"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/ops.h"
#include "kernels/cuda/vector.cuh"
#include "kernels/random.h"

namespace penstock::cuda {
namespace {

constexpr int kThreads = 128, kWarps = kThreads / kWarp;
static_assert(kMaxDrafts < kWarp);

dim3 grid_of(int64_t units, int each) { return {static_cast<unsigned>((units + each - 1) / each)}; }

// A warp a row, a lane a draw.
__global__ void __launch_bounds__(kThreads) accept_kernel(AcceptDrafts op) {
  const int64_t r = blockIdx.x * int64_t{kWarps} + threadIdx.x / kWarp;
  const int lane = threadIdx.x % kWarp;
  wait_for_previous_kernel();
  if (r >= op.count || op.rows[r].slot < 0) return;
  const VerifyRow row = op.rows[r];
  const int64_t slot = row.slot;
  HeadResult* drawn = op.results + row.first;
  const int32_t token = lane <= row.drafts ? drawn[lane].token : -1;
  const bool accepted = lane < row.drafts && token == op.drafts[slot * kMaxDrafts + lane];
  const int last = __ffs(~__ballot_sync(0xFFFFFFFF, accepted)) - 1;  // no draft follows this draw, or another one
  if (lane == last) op.last_tokens[slot] = max(token, 0);
  if (lane > last && lane <= row.drafts) drawn[lane].flags = HeadResult::kRejected;
  if (row.edits == 0) return;
  const bool counts = lane <= last && token >= 0;
  const unsigned same = __match_any_sync(0xFFFFFFFF, counts ? token : -1);  // an id's first draw counts for all
  if (counts && __ffs(same) - 1 == lane) count_drawn(op.slots.counts[slot * op.slots.vocab + token], __popc(same));
}

// A thread a row.
__global__ void __launch_bounds__(kThreads) table_kernel(HeadRows op, int32_t vocab, float agreement) {
  const int r = blockIdx.x * kThreads + threadIdx.x;
  wait_for_previous_kernel();
  if (r >= op.rows) return;
  const HeadRow want = op.want[r];
  if (want.slot < 0 || want.target >= 0 || op.results[r].token < 0) return;
  const int32_t token = table_token(want, vocab, agreement);
  op.results[r].token = token;
  keep(op, want, token);
}

}  // namespace

void accept_drafts(const AcceptDrafts& op, cudaStream_t stream) {
  if (op.count > 0) launch(accept_kernel, grid_of(op.count, kWarps), kThreads, 0, stream, op);
}

void draw_from_table(const DrawFromTable& op, cudaStream_t stream) {
  if (op.head.logits.rows == 0) return;
  launch(table_kernel, grid_of(op.head.logits.rows, kThreads), kThreads, 0, stream, rows_of(op.head, nullptr), op.vocab,
         op.agreement);
}

}  // namespace penstock::cuda
