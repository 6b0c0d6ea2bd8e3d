// Up to which size each way of summing over the ranks is the fastest.
#include <algorithm>
#include <limits>

#include "kernels/cuda/peer_communicator.h"

namespace penstock::cuda {
namespace {

constexpr int64_t kMostBytes = int64_t{64} << 20;
constexpr int kCalls = 20, kRounds = 3;

class SumTimes {
 public:
  SumTimes(PeerCommunicator& communicator, CudaBackend& backend)
      : communicator_(communicator), backend_(backend), memory_(backend.allocate(kMostBytes)) {
    backend.fill_zero(memory_.data(), kMostBytes);
  }

  // Of one call, in a graph: the best of some rounds.
  double seconds(SumKind kind, int64_t bytes) {
    constexpr int64_t kCols = 4096;
    const Tensor x = memory_.matrix(DType::bf16, bytes / 2 / kCols, kCols);
    communicator_.sum_by(kind, x);  // NCCL makes its connections
    const auto graph = backend_.record([&] {
      for (int i = 0; i < kCalls; ++i) communicator_.sum_by(kind, x);
    });
    double least = std::numeric_limits<double>::max();
    for (int round = 0; round < kRounds; ++round) {
      communicator_.rest();
      const auto begin = backend_.mark();
      graph->replay();
      const auto end = backend_.mark();
      communicator_.rest();
      least = std::min(least, end->seconds_since(*begin) / kCalls);
    }
    return least;
  }

 private:
  PeerCommunicator& communicator_;
  CudaBackend& backend_;
  DeviceBuffer memory_;
};

}  // namespace

// Ranks go through the same sizes, whatever their own times.
SumLimits measure_limits(PeerRanks& ranks, PeerCommunicator& communicator, CudaBackend& backend) {
  SumTimes times(communicator, backend);
  SumLimits limits{.one_shot = 0, .two_shot = SumLimits::kEverything};
  bool still = true;  // the fastest, from the last size to this one
  for (int64_t bytes = 32 << 10; bytes <= kMostInboxBytes; bytes *= 2) {
    still &= times.seconds(SumKind::one_shot, bytes) <= times.seconds(SumKind::two_shot, bytes);
    if (still) limits.one_shot = bytes;
  }
  still = ranks.nccl() != nullptr;
  for (int64_t bytes = kMostBytes; ranks.nccl() && bytes >= kMostInboxBytes; bytes /= 4) {
    still &= times.seconds(SumKind::nccl, bytes) < times.seconds(SumKind::two_shot, bytes);
    if (still) limits.two_shot = bytes / 4;
  }
  communicator.rest();
  return limits;
}

}  // namespace penstock::cuda
