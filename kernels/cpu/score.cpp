#include <atomic>

#include "kernels/cpu/logits_row.h"
#include "kernels/cpu/ops.h"
#include "kernels/cpu/scratch.h"
#include "kernels/cpu/top_logprobs.h"

namespace penstock::cpu::PENSTOCK_ISA {

static HeadResult score_row(const Head& op, int64_t r, float* block_largest) {
  int32_t target = op.rows[r].target, alternatives = op.rows[r].top_logprobs;
  TopLogprob* top = alternatives > 0 ? op.top + r * kMaxTopLogprobs : nullptr;
  LogitsRow row(op.logits.row<float>(r), op.logits.cols);
  Peak peak = find_peak(row, block_largest);
  if (!peak.finite) {
    if (top) write_no_top_logprobs(top);
    return {.flags = HeadResult::kNonFinite};
  }
  double total = sum_of_exp(row, peak.logit, 1.0f);
  if (top) write_top_logprobs(top, alternatives, row, peak, total, block_largest);
  return {.token = target,
          .logprob = log_probability(row[target], peak.logit, total),
          .flags = target == peak.id ? HeadResult::kArgmax : 0};
}

// Workers take whole rows from a counter.
void score(ThreadPool& pool, const Head& op) {
  int64_t blocks = divide_up(op.logits.cols, LogitsRow::kBlock);
  Carver count;
  count.take<float>(blocks);
  char* memory = static_cast<char*>(pool.scratch(count.used() * pool.size()));
  std::atomic<int64_t> next_row = 0;
  auto body = [&](int worker) {
    Carver carver(memory + worker * count.used());
    float* block_largest = carver.take<float>(blocks);
    for (int64_t r; (r = next_row.fetch_add(1, std::memory_order_relaxed)) < op.logits.rows;) {
      if (op.rows[r].target >= 0) op.results[r] = score_row(op, r, block_largest);
    }
  };
  pool.run(body);
}

}  // namespace penstock::cpu::PENSTOCK_ISA
