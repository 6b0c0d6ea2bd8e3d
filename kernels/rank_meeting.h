// Where the ranks of a group, each on a thread of its own, wait for each other and show each other their tensors.
#pragma once
#include <atomic>
#include <span>
#include <vector>

#include "kernels/tensor.h"

namespace penstock {

class RankMeeting {
 public:
  explicit RankMeeting(int size) : shown_{std::vector<Tensor>(size), std::vector<Tensor>(size)}, turns_(size) {}

  int size() const { return static_cast<int>(turns_.size()); }

  // Returns when every rank has come here; all they wrote before is then seen by all. Errors: Error(internal) once the
  // group was aborted.
  void meet();

  // meet(), and what each rank brought, to be read until this rank's next meeting.
  std::span<const Tensor> show(int rank, const Tensor& x);

  // From any thread: whoever waits, now or later, gets the error.
  void abort();
  void stop_if_aborted() const;

 private:
  void next_round();

  // By turns: a table is written again only after a meeting to which all come who read it.
  std::vector<Tensor> shown_[2];
  std::vector<unsigned> turns_;  // of each rank
  alignas(64) std::atomic<int> arrived_{0};
  alignas(64) std::atomic<int> round_{0};
  std::atomic<bool> aborted_{false};
};

}  // namespace penstock
