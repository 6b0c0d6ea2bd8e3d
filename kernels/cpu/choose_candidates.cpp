#include <atomic>

#include "kernels/cpu/edited_row.h"
#include "kernels/cpu/logits_row.h"
#include "kernels/cpu/ops.h"

namespace penstock::cpu::PENSTOCK_ISA {

namespace {

// Counts the ids of a part against the token.
class PartTally {
 public:
  PartTally(const HeadRow& want, const RowChoice& choice)
      : scale_(RowScale::of(choice.edited_peak, want.temperature)),
        token_(choice.result.token),
        token_scaled_(scale_(choice.edited)),
        weighs_(want.top_p < 1),
        tells_steps_apart_(weighs_ && want.top_k > 0) {}

  // Of the ids from `first` on. In double every so many blocks, as sum_of_exp().
  Tally run(const LogitsRow& row, int64_t first) {
    for (int64_t b = 0; b < row.blocks();) {
      for (int64_t stop = smaller(b + 16, row.blocks()); b < stop; b++)
        for (int i = 0; i < LogitsRow::kBlock; i += kLanes)
          add(load(row.block(b) + i), lane_index() + static_cast<int32_t>(first + b * LogitsRow::kBlock + i));
      before_mass_ += static_cast<double>(sum(before_sums_)), rest_mass_ += static_cast<double>(sum(rest_sums_));
      before_sums_ = rest_sums_ = Vec{};
    }
    Tally tally;
    tally.before = {count(before_counts_), static_cast<float>(before_mass_)};
    for (int s = 0; s < Tally::kSteps; s++) tally.step[s] = {step_counts_[s], static_cast<float>(step_masses_[s])};
    Tally::Ids& rest = tally.step[tells_steps_apart_ ? Tally::kSteps - 1 : 0];
    rest.count += count(rest_counts_), rest.mass += static_cast<float>(rest_mass_);
    return tally;
  }

 private:
  void add(Vec logits, IntVec ids) {
    const Vec scaled = (logits - scale_.peak) * scale_.inverse;
    const IntVec before = (scaled > token_scaled_) | ((scaled == token_scaled_) & (ids < token_));
    IntVec rest = ~before & (logits > -__builtin_inff());
    before_counts_ += before;
    const Vec masses = weighs_ ? exp(scaled) : Vec{};
    if (tells_steps_apart_) {
      constexpr float kLast = (Tally::kSteps - 1) * Tally::kStepWidth;
      const IntVec near = rest & (token_scaled_ - scaled < kLast);
      if (any(near)) add_near(near, scaled, masses);
      rest &= ~near;
    }
    before_sums_ += before ? masses : Vec{};
    rest_sums_ += rest ? masses : Vec{};
    rest_counts_ += rest;
  }

  void add_near(IntVec near, Vec scaled, Vec masses) {
    for (int lane = 0; lane < kLanes; lane++) {
      if (near[lane] == 0) continue;
      const int step = Tally::step_of(token_scaled_ - scaled[lane]);
      step_counts_[step]++, step_masses_[step] += static_cast<double>(masses[lane]);
    }
  }

  static int32_t count(IntVec masks) {
    int32_t all = 0;
    for (int lane = 0; lane < kLanes; lane++) all -= masks[lane];
    return all;
  }

  const RowScale scale_;
  const int32_t token_;
  const float token_scaled_;
  const bool weighs_, tells_steps_apart_;
  IntVec before_counts_ = {}, rest_counts_ = {};
  Vec before_sums_ = {}, rest_sums_ = {};
  double before_mass_ = 0, rest_mass_ = 0;
  int32_t step_counts_[Tally::kSteps] = {};
  double step_masses_[Tally::kSteps] = {};
};

void choose_row(const ChooseCandidates& op, int64_t r) {
  const HeadRow& want = op.head.rows[r];
  op.open[r] = op.others[r] = {};
  if (needs_whole_row(want)) op.others[r] = want;
  if (needs_whole_row(want) || is_padding(want)) return;
  const int64_t count = op.ranks * kCandidateParts;
  const RowChoice choice = choose(op.candidates + r * count, count, want);
  op.head.results[r] = choice.result;
  switch (need_of(choice, want)) {
    case RowNeed::nothing:
      if (want.target < 0) keep(op.head, want, choice.result.token);
      return;
    case RowNeed::whole_row:
      op.others[r] = want;
      return;
    case RowNeed::tally:
      op.open[r] = want;
      const Tensor& drawn_by = want.edits != 0 ? op.part.edited : op.part.logits;
      Tally* tallies = op.tallies + r * kCandidateParts;
      tallies[0] = PartTally(want, choice).run(LogitsRow(drawn_by.row<float>(r), op.part.ids), op.part.first_id);
      for (int i = 1; i < kCandidateParts; i++) tallies[i] = {};
  }
}

}  // namespace

// Workers take whole rows from a counter. As with candidates, a row is one part.
void choose_candidates(ThreadPool& pool, const ChooseCandidates& op) {
  std::atomic<int64_t> next_row = 0;
  auto body = [&](int) {
    for (int64_t r; (r = next_row.fetch_add(1, std::memory_order_relaxed)) < op.part.logits.rows;) choose_row(op, r);
  };
  pool.run(body);
}

}  // namespace penstock::cpu::PENSTOCK_ISA
