#include <atomic>

#include "kernels/cpu/edited_row.h"
#include "kernels/cpu/gumbel.h"
#include "kernels/cpu/logits_row.h"
#include "kernels/cpu/ops.h"
#include "kernels/cpu/scratch.h"

namespace penstock::cpu::PENSTOCK_ISA {

namespace {

// Gumbel-max over the ids [first, first + count), whose logits are x. As in sample.cpp, an id gets its noise only where
// that could make it win.
void draw(Candidate& found, const float* x, int64_t count, int64_t first, const HeadRow& want) {
  const RowScale scale = RowScale::of(found.edited_peak, want.temperature);
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
      Vec value = (load(logits + offset) - scale.peak) * scale.inverse, w = unit_interval(words.part[part]);
      if (!any(value + gumbel_bound(w) > best)) continue;
      Vec key = value + gumbel(w);
      for (int lane = 0; lane < kLanes; lane++) {
        if (!(key[lane] > best)) continue;
        best = key[lane];
        found.key_id = static_cast<int32_t>(begin + offset + lane);
      }
    }
  }
  found.key = static_cast<double>(best) + static_cast<double>(scale.peak) * static_cast<double>(scale.inverse);
}

class PartReader {
 public:
  PartReader(const FindCandidates& op, float* block_largest) : op_(op), block_largest_(block_largest) {}

  Candidate candidate_of(int64_t r) const {
    const HeadRow& want = op_.head.rows[r];
    const float* logits = op_.part.logits.row<float>(r);
    Candidate found;
    const LogitsRow row(logits, op_.part.ids);
    const Peak peak = find_peak(row, block_largest_);
    found.bad = !peak.finite && !peak.empty;
    if (found.bad) return found;
    if (peak.finite) {
      found.peak = peak.logit;
      found.peak_id = id_of(peak.id);
      found.total = static_cast<float>(sum_of_exp(row, peak.logit, 1.0f));
    }
    if (want.target < 0)
      find_token(found, r, want, peak);
    else if (peak.finite)
      find_target(found, want);
    if (found.key_id >= 0) found.key_logit = logits[found.key_id - op_.part.first_id];
    return found;
  }

 private:
  int32_t id_of(int64_t column) const { return static_cast<int32_t>(op_.part.first_id + column); }

  void find_target(Candidate& found, const HeadRow& want) const {
    if (want.target >= op_.part.first_id && want.target < op_.part.first_id + op_.part.ids)
      found.key = 0, found.key_id = want.target;
  }

  void find_token(Candidate& found, int64_t r, const HeadRow& want, Peak peak) const {
    const float* drawn_by = op_.part.logits.row<float>(r);
    if (want.edits != 0) {
      float* edited = op_.part.edited.row<float>(r);
      edit_row(edited, drawn_by, op_.part.first_id, op_.part.ids, want, op_.head.slots, drafts_of(op_.head, want));
      peak = find_peak(LogitsRow(edited, op_.part.ids), block_largest_);
      found.bad = !peak.finite && !peak.empty;
      drawn_by = edited;
    }
    if (!peak.finite) return;
    found.edited_peak = peak.logit;
    found.edited_peak_id = id_of(peak.id);
    if (takes_likeliest(want))
      found.key = static_cast<double>(peak.logit), found.key_id = id_of(peak.id);
    else
      draw(found, drawn_by, op_.part.ids, op_.part.first_id, want);
    found.key_edited = drawn_by[found.key_id - op_.part.first_id];
  }

  const FindCandidates& op_;
  float* block_largest_;
};

}  // namespace

// Workers take whole rows from a counter. A row is one part here: the other candidates stay empty.
void find_candidates(ThreadPool& pool, const FindCandidates& op) {
  int64_t blocks = divide_up(op.part.logits.cols, LogitsRow::kBlock);
  Carver count;
  count.take<float>(blocks);
  char* memory = static_cast<char*>(pool.scratch(count.used() * pool.size()));
  std::atomic<int64_t> next_row = 0;
  auto body = [&](int worker) {
    Carver carver(memory + worker * count.used());
    const PartReader reader(op, carver.take<float>(blocks));
    for (int64_t r; (r = next_row.fetch_add(1, std::memory_order_relaxed)) < op.part.logits.rows;) {
      if (needs_whole_row(op.head.rows[r]) || is_padding(op.head.rows[r])) continue;
      Candidate* candidates = op.candidates + r * kCandidateParts;
      candidates[0] = reader.candidate_of(r);
      for (int i = 1; i < kCandidateParts; i++) candidates[i] = {};
    }
  };
  pool.run(body);
}

}  // namespace penstock::cpu::PENSTOCK_ISA
