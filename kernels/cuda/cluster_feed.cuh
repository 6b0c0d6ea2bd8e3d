// What brings rows to the blocks of a cluster: pieces of a block's part of a row go round a ring in shared memory.
#pragma once
#include "kernels/cuda/bulk_copy.cuh"
#include "kernels/cuda/head_rows.cuh"

namespace penstock::cuda {

constexpr int kClusterBlocks = 8;
constexpr int kClusterThreads = 256;
constexpr int kLaneGroups = 4;  // groups of four ids that a thread has of a piece
constexpr int kPieceGroups = kLaneGroups * kClusterThreads;
constexpr int kPieceBytes = kPieceGroups * static_cast<int>(sizeof(float4));
constexpr int kMostSlots = 13;  // pieces of the ring

// How rows are shared out: every block of a cluster has as many ids of a row, its last block what is left.
struct ClusterPlan {
  int32_t vocab, slots;
  bool aligned;  // sixteen-byte pieces may be copied, beyond the row's end too; else rows do not come by themselves

  __host__ __device__ static int32_t part_of(int32_t vocab) {
    return (vocab + 4 * kClusterBlocks - 1) / (4 * kClusterBlocks) * 4;
  }
  __host__ __device__ static int pieces_of(int32_t ids) { return ((ids + 3) / 4 + kPieceGroups - 1) / kPieceGroups; }
};

// The rows that a cluster takes: every so many-th one, if it is wanted. At most 32 of them. By whole warps.
class ClusterRows {
 public:
  template <class IsWanted>
  __device__ ClusterRows(int32_t rows, IsWanted is_wanted)
      : first_(static_cast<int32_t>(blockIdx.x) / kClusterBlocks),
        step_(static_cast<int32_t>(gridDim.x) / kClusterBlocks) {
    const int32_t row = first_ + static_cast<int32_t>(threadIdx.x % kWarp) * step_;
    left_ = __ballot_sync(0xFFFFFFFF, row < rows && is_wanted(row));
  }
  __device__ bool any() const { return left_ != 0; }
  __device__ int32_t next() {
    const int at = __ffs(left_) - 1;
    left_ &= left_ - 1;
    return first_ + at * step_;
  }

 private:
  int32_t first_, step_;
  uint32_t left_;
};

// A place in the ring. The barriers of its slots change their parity each time round.
struct RingPlace {
  int slot = 0;
  uint32_t parity = 0;
  __device__ RingPlace after(int pieces, int slots) const {  // at most once round
    const int next = slot + pieces;
    return next < slots ? RingPlace{next, parity} : RingPlace{next - slots, parity ^ 1};
  }
};

// By a block's first thread.
class ClusterFeed {
 public:
  __device__ ClusterFeed(CopyBarrier* copied, float4* ring, const HeadRows& op, const ClusterPlan& plan,
                         const ClusterRows& rows, int32_t first, int groups)
      : copied_(copied), ring_(ring), op_(op), rows_(rows), first_(first), groups_(groups), slots_(plan.slots) {}

  // The next pieces, into slots that are free.
  __device__ void bring(int pieces) {
    for (; pieces > 0; pieces--) {
      if (left_ == 0) {
        if (!rows_.any() || groups_ == 0) return;
        from_ = op_.logits + rows_.next() * op_.stride + first_;
        left_ = groups_;
      }
      const int count = min(left_, kPieceGroups), bytes = count * static_cast<int>(sizeof(float4));
      copied_[slot_].arrive_and_expect(bytes);
      copied_[slot_].copy(ring_ + slot_ * kPieceGroups, from_, bytes);
      from_ += 4 * count, left_ -= count;
      slot_ = slot_ + 1 < slots_ ? slot_ + 1 : 0;
    }
  }

 private:
  CopyBarrier* copied_;
  float4* ring_;
  const HeadRows& op_;
  ClusterRows rows_;  // those whose first piece was not asked for
  int32_t first_;     // id of the block
  int groups_, slots_;
  const float* from_ = nullptr;
  int left_ = 0, slot_ = 0;  // left: groups of the row
};

}  // namespace penstock::cuda
