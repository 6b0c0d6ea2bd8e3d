// Ranks are threads of one process: each shows the others its tensor, then all work on all of them, a slice each.
#include <algorithm>
#include <atomic>
#include <cstring>

#include "kernels/communicator.h"
#include "kernels/cpu/wait.h"

namespace penstock {
namespace {

// What the ranks of a group share.
class Group {
 public:
  explicit Group(int size) : shown(size), size_(size) {}

  int size() const { return size_; }

  // Returns when every rank has come here; all they wrote before is then seen by all.
  void meet() {
    int round = round_.load(std::memory_order_acquire);
    stop_if_aborted();
    if (arrived_.fetch_add(1, std::memory_order_acq_rel) + 1 == size_) {
      arrived_.store(0, std::memory_order_relaxed);
      next_round();
    } else {
      cpu::wait_for_change(round_, round);
    }
    stop_if_aborted();
  }

  void abort() {
    aborted_.store(true, std::memory_order_release);
    next_round();  // whoever waits, wakes up and sees the flag
  }

  std::vector<Tensor> shown;  // one a rank; written before a meeting, read after it

 private:
  void next_round() {
    round_.fetch_add(1, std::memory_order_acq_rel);
    round_.notify_all();
  }

  void stop_if_aborted() const {
    if (aborted_.load(std::memory_order_acquire)) throw Error(ExitCode::internal, "another rank has failed");
  }

  const int size_;
  alignas(64) std::atomic<int> arrived_{0};
  alignas(64) std::atomic<int> round_{0};
  std::atomic<bool> aborted_{false};
};

class ThreadCommunicator : public Communicator {
 public:
  ThreadCommunicator(std::shared_ptr<Group> group, int rank) : group_(std::move(group)), rank_(rank) {}

  int rank() const override { return rank_; }
  int size() const override { return group_->size(); }
  void abort() override { group_->abort(); }

  void all_reduce_sum(const Tensor& x) override {
    if (size() == 1) return;  // memory of any kind
    show(x);
    constexpr int64_t kLine = 16;  // floats: ranks do not write to the same cache line
    int64_t lines = (x.cols + kLine - 1) / kLine;
    int64_t begin = std::min(x.cols, lines * rank_ / size() * kLine);
    int64_t end = std::min(x.cols, lines * (rank_ + 1) / size() * kLine);
    for (int64_t row = 0; row < x.rows; ++row) sum_slice(row, begin, end);
    group_->meet();
  }

  void all_gather_columns(const Tensor& out, const Tensor& part) override {
    show(part);
    if (out.dtype != DType::f32 || out.rows != part.rows || out.cols != size() * part.cols)
      fail("all_gather_columns: out is not [rows, size * cols] in f32");
    for (int rank = 0; rank < size(); ++rank)
      for (int64_t row = 0; row < out.rows; ++row)
        std::memcpy(out.row<float>(row) + rank * part.cols, group_->shown[rank].row<float>(row), part.cols * 4);
    group_->meet();
  }

 private:
  // After this, every rank's tensor is known to be f32 and of the same shape as this rank's.
  void show(const Tensor& x) {
    group_->shown[rank_] = x;
    group_->meet();
    for (const Tensor& other : group_->shown)
      if (other.dtype != DType::f32 || other.rows != x.rows || other.cols != x.cols)
        fail("the ranks' tensors are not f32 of one shape");
  }

  void fail(const char* message) {
    group_->abort();
    throw Error(ExitCode::internal, message);
  }

  void sum_slice(int64_t row, int64_t begin, int64_t end) {
    for (int64_t c = begin; c < end; ++c) {
      float sum = group_->shown[0].row<float>(row)[c];
      for (int rank = 1; rank < size(); ++rank) sum += group_->shown[rank].row<float>(row)[c];
      for (const Tensor& x : group_->shown) x.row<float>(row)[c] = sum;
    }
  }

  const std::shared_ptr<Group> group_;
  const int rank_;
};

}  // namespace

std::vector<std::unique_ptr<Communicator>> make_thread_communicators(int size) {
  auto group = std::make_shared<Group>(size);
  std::vector<std::unique_ptr<Communicator>> ranks;
  for (int rank = 0; rank < size; ++rank) ranks.push_back(std::make_unique<ThreadCommunicator>(group, rank));
  return ranks;
}

}  // namespace penstock
