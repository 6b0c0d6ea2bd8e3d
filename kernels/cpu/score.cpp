#include <atomic>

#include "kernels/cpu/logits_row.h"
#include "kernels/cpu/ops.h"
#include "kernels/cpu/scratch.h"

namespace penstock::cpu::PENSTOCK_ISA {

static HeadResult score_row(const LogitsRow& row, int32_t target, float* block_largest) {
  Peak peak = find_peak(row, block_largest);
  if (!peak.finite) return {.token = -1, .logprob = 0, .flags = HeadResult::kNonFinite};
  return {.token = target,
          .logprob = log_probability(row[target], peak.logit, sum_of_exp(row, peak.logit, 1.0f)),
          .flags = target == peak.id ? HeadResult::kArgmax : 0};
}

// Workers take whole rows from a counter.
void score(ThreadPool& pool, const Head& op) {
  int64_t vocab = op.logits.cols, blocks = divide_up(vocab, LogitsRow::kBlock);
  Carver count;
  count.take<float>(blocks);
  char* memory = static_cast<char*>(pool.scratch(count.used() * pool.size()));
  std::atomic<int64_t> next_row = 0;
  auto body = [&](int worker) {
    Carver carver(memory + worker * count.used());
    float* block_largest = carver.take<float>(blocks);
    for (int64_t r; (r = next_row.fetch_add(1, std::memory_order_relaxed)) < op.logits.rows;) {
      int32_t target = op.rows[r].target;
      if (target < 0) continue;
      op.results[r] = score_row(LogitsRow(op.logits.row<float>(r), vocab), target, block_largest);
    }
  };
  pool.run(body);
}

}  // namespace penstock::cpu::PENSTOCK_ISA
