#include <atomic>

#include "kernels/cpu/gumbel.h"
#include "kernels/cpu/logits_row.h"
#include "kernels/cpu/ops.h"
#include "kernels/cpu/scratch.h"

namespace penstock::cpu::PENSTOCK_ISA {

namespace {

// Gumbel-max over the ids [first, first + count), whose logits are x. As in sample.cpp, an id gets its noise only where
// that could make it win.
void draw(Candidate& found, const float* x, int64_t count, int64_t first, const HeadRow& want) {
  const float inverse = 1.0f / larger(want.temperature, 1e-30f);
  RandomBatch random(want.seed, want.choice, want.position, RandomUse::token);
  constexpr int kBatch = RandomBatch::kBatch;
  float best = -__builtin_inff();
  for (int64_t begin = first / kBatch * kBatch; begin < first + count; begin += kBatch) {
    const float* logits = x + (begin - first);
    float edge[kBatch];
    if (begin < first || begin + kBatch > first + count) {
      for (int64_t i = 0; i < kBatch; i++) {
        const bool within = begin + i >= first && begin + i < first + count;
        edge[i] = within ? logits[i] : -__builtin_inff();
      }
      logits = edge;
    }
    RandomBatch::Words words = random.words(begin);
    for (int part = 0; part < 4; part++) {
      const int offset = part * kLanes;
      Vec value = (load(logits + offset) - found.peak) * inverse, w = unit_interval(words.part[part]);
      if (!any(value + gumbel_bound(w) > best)) continue;
      Vec key = value + gumbel(w);
      for (int lane = 0; lane < kLanes; lane++) {
        if (!(key[lane] > best)) continue;
        best = key[lane];
        found.key_id = static_cast<int32_t>(begin + offset + lane);
        found.key_logit = logits[offset + lane];
      }
    }
  }
  found.key = static_cast<double>(best) + static_cast<double>(found.peak) * static_cast<double>(inverse);
}

Candidate candidate_of(const float* x, int64_t count, int64_t first, const HeadRow& want, float* block_largest) {
  Candidate found;
  LogitsRow row(x, count);
  Peak peak = find_peak(row, block_largest);
  if (!peak.finite) {
    found.bad = !peak.empty;
    return found;
  }
  found.peak = peak.logit;
  found.peak_id = static_cast<int32_t>(first + peak.id);
  found.total = static_cast<float>(sum_of_exp(row, peak.logit, 1.0f));
  if (want.target >= 0) {
    if (want.target >= first && want.target < first + count)
      found.key = 0, found.key_id = want.target, found.key_logit = x[want.target - first];
  } else if (!takes_likeliest(want)) {
    draw(found, x, count, first, want);
  }
  return found;
}

}  // namespace

// Workers take whole rows from a counter. A row is one part here: the other candidates stay empty.
void find_candidates(ThreadPool& pool, const FindCandidates& op) {
  int64_t blocks = divide_up(op.part.cols, LogitsRow::kBlock);
  Carver count;
  count.take<float>(blocks);
  char* memory = static_cast<char*>(pool.scratch(count.used() * pool.size()));
  std::atomic<int64_t> next_row = 0;
  auto body = [&](int worker) {
    Carver carver(memory + worker * count.used());
    float* block_largest = carver.take<float>(blocks);
    for (int64_t r; (r = next_row.fetch_add(1, std::memory_order_relaxed)) < op.part.rows;) {
      const HeadRow& want = op.rows[r];
      const bool whole = needs_whole_row(want);
      op.others[r] = whole ? want : HeadRow{};
      if (whole || is_padding(want)) continue;
      Candidate* candidates = op.candidates + r * kCandidateParts;
      candidates[0] = candidate_of(op.part.row<float>(r), op.ids, op.first_id, want, block_largest);
      for (int i = 1; i < kCandidateParts; i++) candidates[i] = {};
    }
  };
  pool.run(body);
}

}  // namespace penstock::cpu::PENSTOCK_ISA
