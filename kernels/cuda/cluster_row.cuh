// A row of logits in the shared memory of a cluster of eight thread blocks (sm_90): device memory is read once, every
// further pass runs over what the blocks hold. Bound by the read of the logits, and closely behind it by the
// instructions a logit costs.
//
// The blocks go through the same steps and find the same numbers. Sums of floats have a fixed order; what atomics add
// up are integers.
#pragma once
#include <cstring>

#include "kernels/cuda/bulk_copy.cuh"
#include "kernels/cuda/cluster.cuh"
#include "kernels/cuda/sample_row.cuh"

namespace penstock::cuda {

constexpr int kClusterBlocks = 8;
constexpr int kClusterThreads = 256;
constexpr int kClusterWarps = kClusterThreads / kWarp;
constexpr int kMostListed = 128;
constexpr int kRowCopies = 4;  // a block's part arrives in so many pieces

// An id whose order within the row is looked at one by one.
struct Listed {
  float scaled;
  int32_t id;
  unsigned long long mass;  // of kListUnits
};
constexpr float kListUnits = 0x1p40f;

struct ClusterShared {
  union {
    alignas(16) uint32_t mass[kBins];
    uint16_t queue[kClusterWarps][2 * kWarp];
  };
  Listed list[kMostListed];  // the first block's
  alignas(16) double exchanged[2][kClusterBlocks * kClusterWarps][2];
  double warp_mass[kClusterWarps];
  double found_before, found_mass;
  int32_t found;
  uint32_t listed;
  Cut cut;
  CopyBarrier copied[kRowCopies];
};

struct Best {  // the largest value, and the lowest id among equals
  float value = kNowhere;
  int32_t id = -1;
  __device__ static Best of(const Best& a, const Best& b) { return goes_before(b.value, b.id, a.value, a.id) ? b : a; }
};

// A warp's part of a peak.
struct WarpPeak {
  Best best;
  float total, scaled_total;  // of exp(logit - best), and of its power 1 / temperature
};

class ClusterRow {
 public:
  // Part of the kernel's shared memory: ClusterShared, then this block's logits.
  __device__ ClusterRow(ClusterShared& shared, int32_t vocab)
      : shared_(shared),
        x_(reinterpret_cast<float4*>(&shared + 1)),
        rank_(cluster_rank()),
        warp_(threadIdx.x / kWarp),
        lane_(threadIdx.x % kWarp),
        vocab_(vocab),
        first_(rank_ * part_of(vocab)),
        own_(min(max(vocab - first_, 0), part_of(vocab))),
        groups_((own_ + 3) / 4) {}

  __host__ __device__ static int32_t part_of(int32_t vocab) {
    return (vocab + 4 * kClusterBlocks - 1) / (4 * kClusterBlocks) * 4;
  }

  __device__ bool is_leader() const { return rank_ == 0 && threadIdx.x == 0; }

  // `aligned`: sixteen-byte pieces may be read, beyond the row's end too.
  __device__ void load(const float* logits, bool aligned) {
    if (threadIdx.x == 0) {
      shared_.listed = 0;
      for (CopyBarrier& barrier : shared_.copied) barrier.init(1);
      for (int piece = 0; piece < kRowCopies && aligned; piece++) {
        const int begin = piece_begin(piece), count = piece_begin(piece + 1) - begin;
        if (count == 0) continue;
        shared_.copied[piece].arrive_and_expect(count * 16);
        shared_.copied[piece].copy(x_ + begin, logits + first_ + 4 * begin, count * 16);
      }
    }
    if (!aligned) {
      auto* x = reinterpret_cast<float*>(x_);
      for (int i = threadIdx.x; i < 4 * groups_; i += kClusterThreads) x[i] = i < own_ ? logits[first_ + i] : kNowhere;
    }
    clear_bins();
    copied_ = aligned;
    cluster_sync();  // all blocks are there
  }

  // Waits for the copies the first time. `scaled_total`: the sum of exp((logit - peak) inverse_temperature).
  __device__ Peak find_peak(float inverse_temperature, double& scaled_total) {
    WarpPeak own{.best = largest_of_warp(), .total = 0, .scaled_total = 0};
    if (own.best.value > kNowhere) {
      const bool scaled = inverse_temperature != 1;
      const RowScale raw{own.best.value, 1}, scale{own.best.value, inverse_temperature};
      for_each_group([&](int, const float4& x) {
        own.total += sum4(weights_of(raw, x));
        if (scaled) own.scaled_total += sum4(weights_of(scale, x));
      });
      own.total = warp_sum(own.total);
      own.scaled_total = scaled ? warp_sum(own.scaled_total) : own.total;
    }
    const WarpPeak *all = exchange(own), one = all[lane_], other = all[lane_ + kWarp];
    const Best best = reduce_warp(Best::of(one.best, other.best), Best::of);
    const auto brought = [&](const WarpPeak& part, float sum, float power) {
      return part.best.id < 0 ? 0.0 : static_cast<double>(sum * expf((part.best.value - best.value) * power));
    };
    const double total = reduce_warp(brought(one, one.total, 1) + brought(other, other.total, 1), plus);
    scaled_total = inverse_temperature == 1 ? total
                                            : reduce_warp(brought(one, one.scaled_total, inverse_temperature) +
                                                              brought(other, other.scaled_total, inverse_temperature),
                                                          plus);
    peak_id_ = best.id;
    return {.logit = best.value, .id = best.id, .bad = best.value == __builtin_inff(), .total = total};
  }

  // Calls change(id, logit) for the logits of this block.
  template <class Change>
  __device__ void change_each(Change change) {
    auto* x = reinterpret_cast<float*>(x_);
    for (int i = threadIdx.x; i < own_; i += kClusterThreads) change(first_ + i, x[i]);
    __syncthreads();
  }
  __device__ bool owns(int32_t id) const { return id >= first_ && id < first_ + own_; }
  __device__ float& logit(int32_t id) { return reinterpret_cast<float*>(x_)[id - first_]; }

 protected:
  __device__ int piece_begin(int piece) const {
    return min(piece * ((groups_ + kRowCopies - 1) / kRowCopies), groups_);
  }
  __device__ int32_t id_of(int group, int i) const { return first_ + 4 * group + i; }
  __device__ static float4 cut_off(float4 x, int count) {
    return {x.x, count > 1 ? x.y : kNowhere, count > 2 ? x.z : kNowhere, count > 3 ? x.w : kNowhere};
  }
  __device__ static float4 weights_of(const RowScale& scale, const float4& x) {
    return {exp_approximate(scale(x.x)), exp_approximate(scale(x.y)), exp_approximate(scale(x.z)),
            exp_approximate(scale(x.w))};
  }
  __device__ static float sum4(const float4& x) { return (x.x + x.y) + (x.z + x.w); }

  template <class Visit>
  __device__ void for_each_group(Visit visit) const {
#pragma unroll 2
    for (int g = threadIdx.x; g < groups_; g += kClusterThreads) visit(g, x_[g]);
  }

  // --- over the cluster ---------------------------------------------------------------------------------------------

  // What each warp of the cluster has, with every block. Two places by turns: whoever writes the next is past the last
  // read.
  template <class T>
  __device__ const T* exchange(const T& value) {
    static_assert(sizeof(T) <= sizeof shared_.exchanged[0][0]);
    T* slots = reinterpret_cast<T*>(shared_.exchanged[turn_]);
    turn_ ^= 1;
    if (lane_ < kClusterBlocks) *in_block(slots + rank_ * kClusterWarps + warp_, lane_) = value;
    cluster_sync();
    return slots;
  }
  template <class T, class Combine>
  __device__ T reduce(const T& value, Combine combine) {
    static_assert(kClusterBlocks * kClusterWarps == 2 * kWarp);
    const T* all = exchange(reduce_warp(value, combine));
    return reduce_warp(combine(all[lane_], all[lane_ + kWarp]), combine);
  }
  // Every lane gets the same bits, for combine(a, b) = combine(b, a).
  template <class T, class Combine>
  __device__ static T reduce_warp(T value, Combine combine) {
    static_assert(sizeof(T) % sizeof(uint64_t) == 0);
#pragma unroll
    for (int lanes = kWarp / 2; lanes > 0; lanes /= 2) {
      uint64_t words[sizeof(T) / sizeof(uint64_t)];
      std::memcpy(words, &value, sizeof(T));
      for (uint64_t& word : words) word = __shfl_xor_sync(0xFFFFFFFF, word, lanes);
      T other;
      std::memcpy(&other, words, sizeof(T));
      value = combine(value, other);
    }
    return value;
  }
  __device__ static double plus(double a, double b) { return a + b; }

  // The largest logit of this warp; +inf where one is no number. Puts the end of the last group out of the way.
  __device__ Best largest_of_warp() {
    Best best;
    int group = -1;
    bool bad = false;
    for (int piece = 0; piece < kRowCopies; piece++) {
      const int begin = piece_begin(piece), end = piece_begin(piece + 1);
      if (copied_ && end > begin) shared_.copied[piece].wait(0);
      // A thread's groups are those that it will read again.
      const int skipped = (begin + kClusterThreads - 1 - static_cast<int>(threadIdx.x)) / kClusterThreads;
      for (int g = threadIdx.x + skipped * kClusterThreads; g < end; g += kClusterThreads) {
        float4 x = x_[g];
        if (4 * g + 4 > own_) x_[g] = x = cut_off(x, own_ - 4 * g);
        const float most = fmaxf(fmaxf(x.x, x.y), fmaxf(x.z, x.w));
        constexpr float kInfinite = __builtin_inff();
        bad |= !(x.x < kInfinite) | !(x.y < kInfinite) | !(x.z < kInfinite) | !(x.w < kInfinite);
        if (most > best.value) best.value = most, group = g;
      }
    }
    copied_ = false;
    if (group >= 0) {
      const float4 x = x_[group];
      best.id = id_of(group, x.x == best.value ? 0 : x.y == best.value ? 1 : x.z == best.value ? 2 : 3);
    }
    if (bad) best = {__builtin_inff(), 0};
    return reduce_warp(best, Best::of);
  }

  __device__ void clear_bins() {
    for (int i = threadIdx.x; i < kBins; i += kClusterThreads) shared_.mass[i] = 0;
    __syncthreads();
  }

  ClusterShared& shared_;
  float4* x_;
  int rank_, warp_, lane_;
  int32_t vocab_, first_, own_, groups_;
  int turn_ = 0;
  bool copied_ = false;  // and nobody has waited for it
  bool bins_are_clear_ = true;
  int32_t peak_id_ = -1;  // of the last find_peak()
};

}  // namespace penstock::cuda
