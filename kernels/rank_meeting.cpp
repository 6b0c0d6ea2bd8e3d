#include "kernels/rank_meeting.h"

#include "kernels/cpu/wait.h"

namespace penstock {

void RankMeeting::meet() {
  const int round = round_.load(std::memory_order_acquire);
  stop_if_aborted();
  if (arrived_.fetch_add(1, std::memory_order_acq_rel) + 1 == size()) {
    arrived_.store(0, std::memory_order_relaxed);
    next_round();
  } else {
    cpu::wait_for_change(round_, round);
  }
  stop_if_aborted();
}

std::span<const Tensor> RankMeeting::show(int rank, const Tensor& x) {
  std::vector<Tensor>& table = shown_[turns_[rank]++ % 2];
  table[rank] = x;
  meet();
  return table;
}

void RankMeeting::abort() {
  aborted_.store(true, std::memory_order_release);
  next_round();  // whoever waits, wakes up and sees the flag
}

void RankMeeting::stop_if_aborted() const {
  if (aborted_.load(std::memory_order_acquire)) throw Error(ExitCode::internal, "another rank has failed");
}

void RankMeeting::next_round() {
  round_.fetch_add(1, std::memory_order_acq_rel);
  round_.notify_all();
}

}  // namespace penstock
