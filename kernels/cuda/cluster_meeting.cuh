// Blocks of a cluster that go through the same steps and find the same numbers: what each warp has, combined over all.
#pragma once
#include <cstring>

#include "kernels/cuda/cluster.cuh"
#include "kernels/cuda/cluster_feed.cuh"

namespace penstock::cuda {

constexpr int kClusterWarps = kClusterThreads / kWarp;

struct MeetingShared {
  ClusterMail<kClusterBlocks> mail;
  ulonglong2 of_warps[kClusterWarps];
  ulonglong2 of_cluster[2];  // by turns: a warp may read one while the first writes the next
};

// The first warp of a block speaks for it.
class ClusterMeeting {
 public:
  __device__ explicit ClusterMeeting(MeetingShared& shared)
      : rank_(cluster_rank()), warp_(threadIdx.x / kWarp), lane_(threadIdx.x % kWarp), meeting_(shared) {}
  __device__ bool is_leader() const { return rank_ == 0 && threadIdx.x == 0; }

 protected:
  __device__ void open_mail() { meeting_.mail.init(); }  // by one thread; a cluster_sync() shows it to the others

  // What all blocks' warps have, combined; the same bits everywhere. What blocks wrote to each other's memory before is
  // not seen because of it.
  template <class T, class Combine>
  __device__ T combine_warps(const T& of_warp, Combine combine) {
    if (lane_ == 0) meeting_.of_warps[warp_] = packed(of_warp);
    __syncthreads();
    return combine_blocks<T>(
        [&] { return combine_lanes<kClusterWarps>(unpacked<T>(meeting_.of_warps[lane_ % kClusterWarps]), combine); },
        combine);
  }
  // The first warp of each block calls of_block(), and its first lane's value counts: lanes combine in orders of their
  // own, and blocks that heard different bits would go different ways.
  template <class T, class OfBlock, class Combine>
  __device__ T combine_blocks(OfBlock of_block, Combine combine) {
    ulonglong2& of_cluster = meeting_.of_cluster[round_ & 1];
    if (warp_ == 0) {
      ulonglong2 own = packed(of_block());
      own = {__shfl_sync(0xFFFFFFFF, own.x, 0), __shfl_sync(0xFFFFFFFF, own.y, 0)};
      const ulonglong2 heard = meeting_.mail.exchange(own, rank_, round_);
      const T all = combine_lanes<kClusterBlocks>(unpacked<T>(heard), combine);
      if (lane_ == 0) of_cluster = packed(all);
    }
    round_++;
    __syncthreads();
    return unpacked<T>(of_cluster);
  }
  template <class T, class Combine>
  __device__ T reduce(const T& value, Combine combine) {
    return combine_warps(combine_lanes<kWarp>(value, combine), combine);
  }
  // Of so many lanes side by side.
  template <int kLanes, class T, class Combine>
  __device__ static T combine_lanes(T value, Combine combine) {
    static_assert(sizeof(T) % sizeof(uint64_t) == 0);
#pragma unroll
    for (int lanes = kLanes / 2; lanes > 0; lanes /= 2) {
      uint64_t words[sizeof(T) / sizeof(uint64_t)];
      std::memcpy(words, &value, sizeof(T));
      for (uint64_t& word : words) word = __shfl_xor_sync(0xFFFFFFFF, word, lanes);
      T other;
      std::memcpy(&other, words, sizeof(T));
      value = combine(value, other);
    }
    return value;
  }
  template <class T>
  __device__ static ulonglong2 packed(const T& value) {
    static_assert(sizeof(T) <= sizeof(ulonglong2));
    ulonglong2 words{};
    std::memcpy(&words, &value, sizeof(T));
    return words;
  }
  template <class T>
  __device__ static T unpacked(const ulonglong2& words) {
    T value;
    std::memcpy(&value, &words, sizeof(T));
    return value;
  }
  __device__ static double plus(double a, double b) { return a + b; }

  int rank_, warp_, lane_;

 private:
  MeetingShared& meeting_;
  int round_ = 0;  // of the mail
};

}  // namespace penstock::cuda
