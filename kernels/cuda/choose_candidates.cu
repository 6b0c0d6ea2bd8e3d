// What all ranks' candidates decide, and for rows with filters what the tallies do.
#include "kernels/cuda/candidate_rows.cuh"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/peer_group.h"
#include "kernels/cuda/sample.h"

namespace penstock::cuda {
namespace {

constexpr int kMostCandidates = kMostRanks * kCandidateParts;
constexpr int kPartThreads = 256, kPartWarps = kPartThreads / kWarp;
constexpr int kSettlers = 8;  // rows of a block

struct ChooseRows {
  const Candidate* candidates;
  int count;  // of a row
  Tally* tallies;
  HeadRow *open, *others;
};

struct ChooseShared {
  Candidate candidates[kMostCandidates];
  RowChoice choice;
  Tally::Ids step[Tally::kSteps][kPartThreads];  // each thread's own
  Tally::Ids before[kPartWarps], rest[kPartWarps];
};

__device__ Tally::Ids sum_of_warp(Tally::Ids ids) {
  ids.mass = warp_sum(ids.mass);
  ids.count = __reduce_add_sync(0xFFFFFFFF, ids.count);
  return ids;
}

// What a thread counts. kSteps: those from the token on are told apart, in shared.step[…][threadIdx.x].
struct Counted {
  Tally::Ids before, rest;
};
template <bool kSteps>
__device__ Counted count_ids(ChooseShared& shared, const BlockIds& block, const float* row, const HeadRow& want) {
  const RowScale scale = RowScale::of(shared.choice.edited_peak, want.temperature);
  const float token = scale(shared.choice.edited);
  const int32_t token_id = shared.choice.result.token;
  const bool weighs = want.top_p < 1;
  Counted own;
  block.for_each_group(row, [&](int id, const float(&x)[4]) {
#pragma unroll
    for (int i = 0; i < 4; i++) {
      const float scaled = scale(x[i]);
      const Tally::Ids one{x[i] > Candidate::kNowhere, weighs ? exp_approximate(scaled) : 0};
      if (scaled > token || (scaled == token && id + i < token_id)) {
        own.before += one;
        continue;
      }
      const int step = kSteps ? Tally::step_of(token - scaled) : Tally::kSteps - 1;
      if (step < Tally::kSteps - 1)
        shared.step[step][threadIdx.x] += one;
      else
        own.rest += one;
    }
  });
  return own;
}

// Of the block's ids, by all threads, into device memory.
__device__ void write_tally(ChooseShared& shared, Tally* tally, const BlockIds& block, const float* row,
                            const HeadRow& want) {
  const bool steps = want.top_p < 1 && want.top_k > 0;
  if (steps)
    for (auto& step : shared.step) step[threadIdx.x] = {};
  auto [before, rest] = steps ? count_ids<true>(shared, block, row, want) : count_ids<false>(shared, block, row, want);
  const int warp = threadIdx.x / kWarp, lane = threadIdx.x % kWarp;
  before = sum_of_warp(before), rest = sum_of_warp(rest);
  if (lane == 0) shared.before[warp] = before, shared.rest[warp] = rest;
  __syncthreads();
  const int rest_step = steps ? Tally::kSteps - 1 : 0;
  for (int s = warp; s < Tally::kSteps; s += kPartWarps) {
    Tally::Ids sum;
    if (steps)
      for (int i = lane; i < kPartThreads; i += kWarp) sum += shared.step[s][i];
    sum = sum_of_warp(sum);
    if (s == rest_step)
      for (const Tally::Ids& other : shared.rest) sum += other;
    if (lane == 0) tally->step[s] = sum;
  }
  if (threadIdx.x != 0) return;
  for (int w = 1; w < kPartWarps; w++) before += shared.before[w];
  tally->before = before;
}

// The first block of a row chooses; for rows with filters all do, and take a part of the rank's ids each.
__global__ void __launch_bounds__(kPartThreads)
    choose_kernel(const __grid_constant__ PartRows rows, const __grid_constant__ HeadRows head,
                  const __grid_constant__ ChooseRows op) {
  __shared__ ChooseShared shared;
  const int part = blockIdx.x, row = blockIdx.y;
  const bool is_first = part == 0 && threadIdx.x == 0;
  wait_for_previous_kernel();
  const HeadRow want = head.want[row];
  if (part > 0 && !has_filters(want)) return;
  if (needs_whole_row(want) || is_padding(want)) {
    if (is_first) op.open[row] = {}, op.others[row] = needs_whole_row(want) ? want : HeadRow{};
    return;
  }
  const auto* from = reinterpret_cast<const uint4*>(op.candidates + static_cast<int64_t>(row) * op.count);
  for (int i = threadIdx.x; i < op.count * static_cast<int>(sizeof(Candidate) / sizeof(uint4)); i += kPartThreads)
    reinterpret_cast<uint4*>(shared.candidates)[i] = from[i];
  __syncthreads();
  if (threadIdx.x == 0) shared.choice = choose(shared.candidates, op.count, want);
  __syncthreads();
  const RowChoice& choice = shared.choice;
  const RowNeed need = need_of(choice, want);
  if (is_first) {
    op.open[row] = need == RowNeed::tally ? want : HeadRow{};
    op.others[row] = need == RowNeed::whole_row ? want : HeadRow{};
    head.results[row] = choice.result;
    if (need == RowNeed::nothing && want.target < 0) keep(head, want, choice.result.token);
  }
  if (need != RowNeed::tally) return;
  const float* drawn_by = want.edits != 0 ? rows.edited + row * rows.edited_stride : rows.logits + row * rows.stride;
  write_tally(shared, op.tallies + row * kCandidateParts + part, BlockIds(rows, part), drawn_by, want);
}

// A warp takes a row, a lane each of a tally's numbers.
__global__ void __launch_bounds__(kSettlers* kWarp)
    settle_kernel(const __grid_constant__ HeadRows head, const uint32_t* tallies, int count, HeadRow* others) {
  static_assert(sizeof(Tally) == kWarp * sizeof(uint32_t));
  __shared__ Tally shared[kSettlers];
  const int warp = threadIdx.x / kWarp, lane = threadIdx.x % kWarp;
  const int row = blockIdx.x * kSettlers + warp;
  wait_for_previous_kernel();
  if (row >= head.rows) return;
  const HeadRow want = head.want[row];
  if (is_padding(want)) return;
  tallies += static_cast<int64_t>(row) * count * kWarp + lane;
  uint32_t number = 0;
  float mass = 0;
  for (int i = 0; i < count; i++) {
    const uint32_t bits = tallies[i * kWarp];
    if (lane % 2 == 0)
      number += bits;
    else
      mass += __uint_as_float(bits);
  }
  reinterpret_cast<uint32_t*>(&shared[warp])[lane] = lane % 2 == 0 ? number : __float_as_uint(mass);
  __syncwarp();
  if (lane != 0) return;
  if (surely_keeps(want, shared[warp]))
    keep(head, want, head.results[row].token);
  else
    others[row] = want;
}

}  // namespace

void choose_candidates(const ChooseCandidates& op, cudaStream_t stream) {
  if (op.part.logits.rows == 0) return;
  if (op.ranks > kMostRanks) throw Error(ExitCode::internal, "choose_candidates: too many ranks");
  const ChooseRows rows{.candidates = op.candidates,
                        .count = static_cast<int>(op.ranks) * kCandidateParts,
                        .tallies = op.tallies,
                        .open = op.open,
                        .others = op.others};
  launch(choose_kernel, dim3(kCandidateParts, static_cast<unsigned>(op.part.logits.rows)), dim3(kPartThreads), 0,
         stream, rows_of(op.part), rows_of(op.head, nullptr), rows);
}

void settle_candidates(const SettleCandidates& op, cudaStream_t stream) {
  if (op.head.logits.rows == 0) return;
  const dim3 grid(static_cast<unsigned>((op.head.logits.rows + kSettlers - 1) / kSettlers));
  launch(settle_kernel, grid, dim3(kSettlers * kWarp), 0, stream, rows_of(op.head, nullptr),
         reinterpret_cast<const uint32_t*>(op.tallies), static_cast<int>(op.ranks) * kCandidateParts, op.others);
}

}  // namespace penstock::cuda
