#include "engine/step/profiling_backend.h"

namespace penstock {

OpTimes OpMarks::times() const {
  OpTimes times{};
  for (const Entry& entry : entries_) {
    OpTime& op = times[static_cast<size_t>(entry.op)];
    op.seconds += entry.end->seconds_since(*entry.begin);
    ++op.calls;
  }
  return times;
}

void ProfilingBackend::mark_into(OpMarks* marks) {
  marks_ = marks;
  if (marks_) marks_->next_ = 0;
}

template <class Arguments>
void ProfilingBackend::timed(Op op, void (Backend::*verb)(const Arguments&), const Arguments& arguments) {
  if (!marks_) return ((*inner_).*verb)(arguments);
  std::unique_ptr<Moment> begin = inner_->mark();
  ((*inner_).*verb)(arguments);
  OpMarks::Entry entry{op, std::move(begin), inner_->mark()};
  if (marks_->next_ == marks_->entries_.size()) marks_->entries_.emplace_back();
  marks_->entries_[marks_->next_++] = std::move(entry);
}

void ProfilingBackend::matmul(const Matmul& a) {
  if (!marks_) return inner_->matmul(a);
  const auto named = names_.find(&a.weight);
  if (named == names_.end()) throw Error(ExitCode::internal, "profile: a product with a weight that has no name");
  timed(named->second, &Backend::matmul, a);
}

void ProfilingBackend::embed(const Embed& a) { timed(Op::embed, &Backend::embed, a); }
void ProfilingBackend::rms_norm(const RmsNorm& a) { timed(Op::rms_norm, &Backend::rms_norm, a); }
void ProfilingBackend::add_rms_norm(const AddRmsNorm& a) { timed(Op::add_rms_norm, &Backend::add_rms_norm, a); }
void ProfilingBackend::qk_norm_rope_store(const QkNormRopeStore& a) {
  timed(Op::qk_norm_rope_store, &Backend::qk_norm_rope_store, a);
}
void ProfilingBackend::paged_attention(const PagedAttention& a) {
  timed(Op::paged_attention, &Backend::paged_attention, a);
}
void ProfilingBackend::gated_mul(const GatedMul& a) { timed(Op::gated_mul, &Backend::gated_mul, a); }
void ProfilingBackend::gated_matmul(const GatedMatmul& a) {
  marks_ ? Backend::gated_matmul(a) : inner_->gated_matmul(a);
}
void ProfilingBackend::soft_cap(const SoftCap& a) { timed(Op::soft_cap, &Backend::soft_cap, a); }
void ProfilingBackend::gather_rows(const GatherRows& a) { timed(Op::gather_rows, &Backend::gather_rows, a); }
void ProfilingBackend::sample(const Head& a) { timed(Op::sample, &Backend::sample, a); }
void ProfilingBackend::score(const Head& a) { timed(Op::score, &Backend::score, a); }
void ProfilingBackend::copy_blocks(const CopyBlocks& a) { timed(Op::copy_blocks, &Backend::copy_blocks, a); }
void ProfilingBackend::accept_drafts(const AcceptDrafts& a) { timed(Op::accept_drafts, &Backend::accept_drafts, a); }
void ProfilingBackend::draw_from_table(const DrawFromTable& a) { inner_->draw_from_table(a); }
void ProfilingBackend::prepare_slot(const PrepareSlot& a) { timed(Op::prepare_slot, &Backend::prepare_slot, a); }

}  // namespace penstock
