#include <atomic>

#include "kernels/cpu/cut.h"
#include "kernels/cpu/edited_row.h"
#include "kernels/cpu/gumbel.h"
#include "kernels/cpu/logits_row.h"
#include "kernels/cpu/ops.h"
#include "kernels/cpu/scratch.h"
#include "kernels/cpu/top_logprobs.h"

namespace penstock::cpu::PENSTOCK_ISA {

namespace {

struct Workspace {
  float* edited;         // [vocab]
  float* block_largest;  // of the row that the token is drawn from
  Candidates candidates;
  Workspace(Carver& carver, int64_t vocab)
      : edited(carver.take<float>(vocab)),
        block_largest(carver.take<float>(divide_up(vocab, LogitsRow::kBlock))),
        candidates{carver.take<float>(vocab + LogitsRow::kBlock), carver.take<float>(vocab + LogitsRow::kBlock),
                   carver.take<int32_t>(vocab + LogitsRow::kBlock), 0} {}
};

// Draws a token from one row. Everything is in scaled logits (x - peak) / temperature, so that none is above 0.
class RowSampler {
 public:
  // total: the row's sum of exponentials.
  RowSampler(const LogitsRow& row, int64_t vocab, const HeadRow& want, const Workspace& work, const Peak& peak,
             double total)
      : row_(row),
        vocab_(vocab),
        want_(want),
        work_(work),
        peak_(peak),
        total_(total),
        inverse_temperature_(1.0f / larger(want.temperature, 1e-30f)) {}

  int32_t run() { return draw(filter()); }

 private:
  template <class Float>
  Float scaled(Float logit) const {
    return (logit - peak_.logit) * inverse_temperature_;
  }

  // Top-k, then top-p of what that leaves, then min-p.
  Cut filter() {
    Cut cut;
    bool limited = want_.top_k > 0 && want_.top_k < vocab_;
    if (limited) cut = top_k_cut();
    if (want_.top_p < 1) cut = top_p_cut(cut, limited);
    if (want_.min_p > 0) {
      float lowest = static_cast<float>(::log(static_cast<double>(want_.min_p)));
      if (lowest > cut.lowest) cut = {lowest < 0 ? lowest : 0.0f, INT32_MAX};
    }
    return cut;
  }

  Cut top_k_cut() {
    // The k-th largest of the blocks' largest logits is not above the k-th largest logit: few ids reach it.
    Cut floor;
    int64_t blocks = 0;
    Candidates& found = work_.candidates;
    for (int64_t b = 0; b < row_.blocks(); b++) {
      float largest = scaled(work_.block_largest[b]);
      if (!(largest >= floor.lowest)) continue;
      found.scaled[blocks] = largest, found.mass[blocks] = 1, found.ids[blocks] = static_cast<int32_t>(b);
      blocks++;
    }
    found.count = blocks;
    if (blocks >= want_.top_k) floor = {find_cut(found, want_.top_k).lowest, INT32_MAX};
    collect(floor);
    if (found.count <= want_.top_k) return floor;
    for (int64_t i = 0; i < found.count; i++) found.mass[i] = 1;
    return find_cut(found, want_.top_k);
  }

  // `limited`: the cut leaves so few ids that they are summed anew.
  Cut top_p_cut(Cut cut, bool limited) {
    double total = total_;
    if (!limited) {
      if (inverse_temperature_ != 1.0f) total = sum_of_exp(row_, peak_.logit, inverse_temperature_);
      // All ids below the floor together weigh less than what top-p may drop.
      double floor = ::log((1.0 - static_cast<double>(want_.top_p)) * total / static_cast<double>(vocab_)) - 1e-3;
      cut = {static_cast<float>(floor), INT32_MAX};
    }
    collect(cut);
    Candidates& found = work_.candidates;
    for (int64_t i = 0; i < found.count; i += kLanes) store(found.mass + i, exp(load(found.scaled + i)));
    if (limited) {
      total = 0;
      for (int64_t i = 0; i < found.count; i++) total += static_cast<double>(found.mass[i]);
    }
    return find_cut(found, static_cast<double>(want_.top_p) * total);
  }

  // The ids that the cut keeps, in ascending order, into work_.candidates (their mass is left undefined).
  void collect(const Cut& cut) {
    Candidates& found = work_.candidates;
    int64_t count = 0;
    for (int64_t b = 0; b < row_.blocks(); b++) {
      if (scaled(work_.block_largest[b]) < cut.lowest) continue;
      const float* x = row_.block(b);
      for (int i = 0; i < LogitsRow::kBlock; i += kLanes) {
        Vec value = scaled(load(x + i));
        int32_t first = static_cast<int32_t>(b * LogitsRow::kBlock + i);
        IntVec kept = cut.keeps(value, lane_index() + first);
        if (!any(kept)) continue;
        compress(found.ids + count, kept, lane_index() + first);
        count += compress(found.scaled + count, kept, bit_cast_to<IntVec>(value));
      }
    }
    found.count = count;
  }

  // Gumbel-max: the largest scaled logit plus noise. An id gets its noise only where the noise could make it win.
  int32_t draw(const Cut& cut) {
    RandomBatch random(want_.seed, want_.choice, want_.position, RandomUse::token);
    constexpr float kMostNoise = 22.9f;
    float best = -__builtin_inff();
    int32_t best_id = peak_.id;
    for (int64_t b = 0; b < row_.blocks(); b++) {
      float largest = scaled(work_.block_largest[b]);
      if (largest < cut.lowest || largest + kMostNoise < best) continue;
      const float* x = row_.block(b);
      for (int i = 0; i < LogitsRow::kBlock; i += RandomBatch::kBatch) {
        RandomBatch::Words words = random.words(b * LogitsRow::kBlock + i);
        for (int part = 0; part < 4; part++) {
          int offset = i + part * kLanes;
          Vec value = scaled(load(x + offset)), w = unit_interval(words.part[part]);
          IntVec ids = lane_index() + static_cast<int32_t>(b * LogitsRow::kBlock + offset);
          IntVec kept = cut.keeps(value, ids);
          if (!any(kept & (value + gumbel_bound(w) > best))) continue;
          Vec key = kept ? value + gumbel(w) : splat(-__builtin_inff());
          for (int lane = 0; lane < kLanes; lane++)
            if (key[lane] > best) best = key[lane], best_id = ids[lane];
        }
      }
    }
    return best_id;
  }

  const LogitsRow& row_;
  int64_t vocab_;
  const HeadRow& want_;
  Workspace work_;
  const Peak& peak_;
  double total_;
  float inverse_temperature_;
};

// From the logits as the slot's penalties and edits leave them. Overwrites work.block_largest.
HeadResult draw_edited(const float* logits, int64_t vocab, const HeadRow& want, const Head& op, const Workspace& work) {
  edit_row(work.edited, logits, 0, vocab, want, op.slots, drafts_of(op, want));
  LogitsRow row(work.edited, vocab);
  Peak peak = find_peak(row, work.block_largest);
  if (!peak.finite) return {.flags = peak.empty ? HeadResult::kAllBanned : HeadResult::kNonFinite};
  if (takes_likeliest(want)) return {.token = peak.id};
  return {.token = RowSampler(row, vocab, want, work, peak, sum_of_exp(row, peak.logit, 1.0f)).run()};
}

HeadResult sample_row(const Head& op, int64_t r, const Workspace& work) {
  const HeadRow& want = op.rows[r];
  const int64_t vocab = op.logits.cols;
  const float* logits = op.logits.row<float>(r);
  TopLogprob* top = want.top_logprobs > 0 ? op.top + r * kMaxTopLogprobs : nullptr;
  LogitsRow row(logits, vocab);
  Peak peak = find_peak(row, work.block_largest);
  if (!peak.finite) {
    if (top) write_no_top_logprobs(top);
    return {.flags = HeadResult::kNonFinite};
  }
  double total = sum_of_exp(row, peak.logit, 1.0f);
  if (top) write_top_logprobs(top, want.top_logprobs, row, peak, total, work.block_largest);
  HeadResult result{.token = peak.id};
  if (want.edits != 0)
    result = draw_edited(logits, vocab, want, op, work);
  else if (!takes_likeliest(want))
    result.token = RowSampler(row, vocab, want, work, peak, total).run();
  if (result.token < 0) return result;
  result.logprob = log_probability(row[result.token], peak.logit, total);
  return result;
}

}  // namespace

// Workers take whole rows from a counter. Bound by the exponentials of the log-probability and, at a temperature, by
// the random words.
void sample(ThreadPool& pool, const Head& op) {
  int64_t vocab = op.logits.cols;
  Carver count;
  Workspace(count, vocab);
  char* memory = static_cast<char*>(pool.scratch(count.used() * pool.size()));
  std::atomic<int64_t> next_row = 0;
  auto body = [&](int worker) {
    Carver carver(memory + worker * count.used());
    Workspace work(carver, vocab);
    for (int64_t r; (r = next_row.fetch_add(1, std::memory_order_relaxed)) < op.logits.rows;) {
      const HeadRow& want = op.rows[r];
      if (want.slot < 0 || want.target >= 0) continue;
      op.results[r] = sample_row(op, r, work);
      keep(op, want, op.results[r].token);
    }
  };
  pool.run(body);
}

}  // namespace penstock::cpu::PENSTOCK_ISA
