// Ranks are threads of one process: each shows the others its tensor, then all work on all of them, a slice each.
#include <algorithm>
#include <cstring>

#include "kernels/communicator.h"
#include "kernels/rank_meeting.h"

namespace penstock {
namespace {

class ThreadCommunicator : public Communicator {
 public:
  ThreadCommunicator(std::shared_ptr<RankMeeting> group, int rank) : group_(std::move(group)), rank_(rank) {}

  int rank() const override { return rank_; }
  int size() const override { return group_->size(); }
  void rest() override { group_->meet(); }
  void abort() override { group_->abort(); }

  void all_reduce_sum(const Tensor& x) override {
    if (size() == 1) return;  // memory of any kind
    const std::span<const Tensor> all = show(x);
    constexpr int64_t kLine = 16;  // floats: ranks do not write to the same cache line
    int64_t lines = (x.cols + kLine - 1) / kLine;
    int64_t begin = std::min(x.cols, lines * rank_ / size() * kLine);
    int64_t end = std::min(x.cols, lines * (rank_ + 1) / size() * kLine);
    for (int64_t row = 0; row < x.rows; ++row) sum_slice(all, row, begin, end);
    group_->meet();
  }

  void all_gather_columns(const Tensor& out, const Tensor& part, const HeadRow* wanted) override {
    const std::span<const Tensor> parts = show(part);
    if (out.dtype != DType::f32 || out.rows != part.rows || out.cols != size() * part.cols)
      fail("all_gather_columns: out is not [rows, size * cols] in f32");
    for (int rank = 0; rank < size(); ++rank)
      for (int64_t row = 0; row < out.rows; ++row) {
        if (wanted && is_padding(wanted[row])) continue;
        std::memcpy(out.row<float>(row) + rank * part.cols, parts[rank].row<float>(row), part.cols * 4);
      }
    group_->meet();
  }

 private:
  // After this, every rank's tensor is known to be f32 and of the same shape as this rank's.
  std::span<const Tensor> show(const Tensor& x) {
    const std::span<const Tensor> all = group_->show(rank_, x);
    for (const Tensor& other : all)
      if (other.dtype != DType::f32 || other.rows != x.rows || other.cols != x.cols)
        fail("the ranks' tensors are not f32 of one shape");
    return all;
  }

  void fail(const char* message) {
    group_->abort();
    throw Error(ExitCode::internal, message);
  }

  static void sum_slice(std::span<const Tensor> all, int64_t row, int64_t begin, int64_t end) {
    for (int64_t c = begin; c < end; ++c) {
      float sum = all[0].row<float>(row)[c];
      for (const Tensor& x : all.subspan(1)) sum += x.row<float>(row)[c];
      for (const Tensor& x : all) x.row<float>(row)[c] = sum;
    }
  }

  const std::shared_ptr<RankMeeting> group_;
  const int rank_;
};

}  // namespace

std::vector<std::unique_ptr<Communicator>> make_thread_communicators(int size) {
  auto group = std::make_shared<RankMeeting>(size);
  std::vector<std::unique_ptr<Communicator>> ranks;
  for (int rank = 0; rank < size; ++rank) ranks.push_back(std::make_unique<ThreadCommunicator>(group, rank));
  return ranks;
}

}  // namespace penstock
