// A row of logits in the shared memory of a cluster of eight thread blocks (sm_90): device memory is read once, every
// further pass runs over what the blocks hold. Clusters take several rows each; parts of the next one arrive while a
// row is looked at. Bound by the read of the logits, and closely behind it by the instructions a logit costs.
//
// Sums of floats have a fixed order; what atomics add up are integers.
#pragma once
#include "kernels/cuda/cluster_meeting.cuh"
#include "kernels/cuda/logits.cuh"

namespace penstock::cuda {

constexpr int kMostListed = 128;
constexpr int kMostContenders = 63;

// An id whose order within the row is looked at one by one.
struct Listed {
  float scaled;
  int32_t id;
  unsigned long long mass;  // of kListUnits
};
constexpr float kListUnits = 0x1p40f;

// An id that noise brings near the row's largest key.
struct alignas(16) Contender {
  float key = kNowhere, logit = kNowhere;  // key: the scaled logit plus noise
  int32_t id = -1;
  __device__ static Contender of(const Contender& a, const Contender& b) {
    return goes_before(b.key, b.id, a.key, a.id) ? b : a;
  }
};

struct ClusterShared {
  MeetingShared meeting;
  Contender contenders[kMostContenders];  // of this block's ids
  uint32_t num_contenders;
  uint32_t listed;
  Listed list[kMostListed];  // the first block's
  double warp_mass[kClusterWarps];
  double found_before, found_mass;
  int32_t found;
  Cut cut;
  CopyBarrier copied[kMostSlots];
};
// Behind it, by turns: a search's bins; for each warp a list of groups.
__host__ __device__ inline int scratch_bytes(int pieces) {
  const int bins = kBins * static_cast<int>(sizeof(uint32_t)),
            lists = pieces * kPieceGroups * static_cast<int>(sizeof(uint16_t));
  return bins > lists ? bins : lists;
}

struct Best {  // the largest value, and the lowest id among equals
  float value = kNowhere;
  int32_t id = -1;
  __device__ static Best of(const Best& a, const Best& b) { return goes_before(b.value, b.id, a.value, a.id) ? b : a; }
};

// A peak, so far.
struct PartPeak {
  Best best;
  float total, scaled_total;  // of exp(logit - best), and of its power 1 / temperature
  __device__ static PartPeak of(const PartPeak& a, const PartPeak& b, float inverse_temperature) {
    const Best best = Best::of(a.best, b.best);
    // Where there is no number, totals are 0 or none.
    const float x = a.best.id < 0 ? 0 : a.best.value - best.value, y = b.best.id < 0 ? 0 : b.best.value - best.value;
    return {best, a.total * exp_approximate(x) + b.total * exp_approximate(y),
            a.scaled_total * exp_approximate(x * inverse_temperature) +
                b.scaled_total * exp_approximate(y * inverse_temperature)};
  }
};

class ClusterRow : public ClusterMeeting {
 public:
  // `scratch` and `ring`, `plan.slots` pieces: behind `shared`.
  __device__ ClusterRow(ClusterShared& shared, void* scratch, float4* ring, const HeadRows& op, const ClusterPlan& plan,
                        const ClusterRows& rows)
      : ClusterMeeting(shared.meeting),
        shared_(shared),
        mass_(static_cast<uint32_t*>(scratch)),
        ring_(ring),
        slots_(plan.slots),
        vocab_(plan.vocab),
        first_(rank_ * ClusterPlan::part_of(vocab_)),
        own_(min(max(vocab_ - first_, 0), ClusterPlan::part_of(vocab_))),
        pieces_(ClusterPlan::pieces_of(own_)),
        comes_(plan.aligned),
        feed_(shared.copied, ring, op, plan, rows, first_, (own_ + 3) / 4) {
    if (threadIdx.x == 0) {
      for (int slot = 0; slot < slots_; slot++) shared_.copied[slot].init(1);
      if (comes_) feed_.bring(slots_);
      shared_.listed = 0;
      open_mail();
    }
    cluster_sync();  // all blocks are there
  }

  // The next row, whose logits these are.
  __device__ void begin(const float* logits) {
    is_new_ = true;
    if (threadIdx.x == 0) shared_.num_contenders = 0;
    if (comes_) return;
    change_each([&](int32_t id, float& logit) { logit = logits[id]; });
  }
  // Nothing of the row is looked at any more.
  __device__ void end() {
    put_before_copies();
    __syncthreads();
    if (!comes_) return;
    place_ = place_.after(pieces_, slots_);
    if (threadIdx.x == 0) feed_.bring(pieces_);
  }

  // `scaled_total`: the sum of exp((logit - peak) inverse_temperature).
  __device__ Peak find_peak(float inverse_temperature, float& scaled_total) {
    PartPeak own{.best = largest_of_warp(), .total = 0, .scaled_total = 0};
    warp_peak_ = own.best.value;
    if (own.best.id < 0)
      own.total = sum_of_none();
    else if (inverse_temperature == 1)
      add_weights<false>(own, 1);
    else
      add_weights<true>(own, inverse_temperature);
    const auto [best, total, scaled] = combine_warps(
        own, [&](const PartPeak& a, const PartPeak& b) { return PartPeak::of(a, b, inverse_temperature); });
    scaled_total = inverse_temperature == 1 ? total : scaled;
    peak_id_ = best.id;
    return {.logit = best.value, .id = best.id, .bad = !(total < __builtin_inff()), .total = total};
  }

  // Calls change(id, logit) for the logits of this block.
  template <class Change>
  __device__ void change_each(Change change) {
    for (int32_t id = first_ + static_cast<int32_t>(threadIdx.x); id < first_ + own_; id += kClusterThreads)
      change(id, logit(id));
    __syncthreads();
  }
  __device__ bool owns(int32_t id) const { return id >= first_ && id < first_ + own_; }
  __device__ float& logit(int32_t id) {
    const int32_t i = id - first_;
    return reinterpret_cast<float*>(&group(i / 4))[i % 4];
  }

 protected:
  __device__ int32_t id_of(int group, int i) const { return first_ + 4 * group + i; }
  __device__ static float max4(const float4& x) { return fmaxf(fmaxf(x.x, x.y), fmaxf(x.z, x.w)); }
  __device__ static float part_of(const float4& x, int i) { return i == 0 ? x.x : i == 1 ? x.y : i == 2 ? x.z : x.w; }

  __device__ float4* piece(int p) const { return ring_ + place_.after(p, slots_).slot * kPieceGroups; }
  __device__ float4& group(int g) const { return piece(g / kPieceGroups)[g % kPieceGroups]; }

  // A thread's groups are the same each time. Those beyond the row's end are nowhere.
  template <class Visit>
  __device__ void for_each_group(Visit visit) const {
    for (int p = 0; p < pieces_; p++) {
      const float4* x = piece(p) + threadIdx.x;
#pragma unroll
      for (int i = 0; i < kLaneGroups; i++)
        visit(p * kPieceGroups + i * kClusterThreads + static_cast<int>(threadIdx.x), x[i * kClusterThreads]);
    }
  }

  // Every lane gets them.
  __device__ static float largest_in_warp(float x) {
    return from_ordered_bits(__reduce_max_sync(0xFFFFFFFF, ordered_bits(x)));
  }
  __device__ static Best best_of_warp(const Best& own) {
    const float value = largest_in_warp(own.value);
    // As unsigned numbers, -1 is the highest.
    const unsigned id = __reduce_min_sync(0xFFFFFFFF, own.value == value ? static_cast<unsigned>(own.id) : UINT32_MAX);
    return {value, static_cast<int32_t>(id)};
  }

  // The largest logit of this warp that is a number. Waits for the copies of a new row, and puts what lies beyond its
  // end out of the way.
  __device__ Best largest_of_warp() {
    float most = kNowhere;
    int at = 0;
    for (int p = 0; p < pieces_; p++) {
      const RingPlace place = place_.after(p, slots_);
      if (is_new_ && comes_) shared_.copied[place.slot].wait(place.parity);
      float4* x = ring_ + place.slot * kPieceGroups + threadIdx.x;
      if (is_new_ && p == pieces_ - 1) cut_off_end(x, p);
#pragma unroll
      for (int i = 0; i < kLaneGroups; i++) {
        const float largest = max4(x[i * kClusterThreads]);
        if (largest > most) most = largest, at = p * kPieceGroups + i * kClusterThreads;
      }
    }
    is_new_ = false;
    Best own;
    if (most > kNowhere) {
      at += static_cast<int>(threadIdx.x);
      const float4 x = group(at);
      own = {most, id_of(at, x.x == most ? 0 : x.y == most ? 1 : x.z == most ? 2 : 3)};
    }
    return best_of_warp(own);
  }
  __device__ void cut_off_end(float4* x, int p) const {
    for (int i = 0; i < kLaneGroups; i++) {
      const int there = own_ - 4 * (p * kPieceGroups + i * kClusterThreads + static_cast<int>(threadIdx.x));
      float4& last = x[i * kClusterThreads];
      if (there < 1) last.x = kNowhere;
      if (there < 2) last.y = kNowhere;
      if (there < 3) last.z = kNowhere;
      if (there < 4) last.w = kNowhere;
    }
  }

  template <bool kScaled>
  __device__ void add_weights(PartPeak& own, float inverse_temperature) const {
    const float power = inverse_temperature * kLog2E;
    for_each_group([&](int, const float4& x) {
      float raw = 0, scaled = 0;
#pragma unroll
      for (int i = 0; i < 4; i++) {
        const float below = part_of(x, i) - own.best.value;
        raw += exp2_approximate(below * kLog2E);
        if (kScaled) scaled += exp2_approximate(below * power);
      }
      own.total += raw, own.scaled_total += scaled;
    });
    own.total = warp_sum(own.total);
    own.scaled_total = kScaled ? warp_sum(own.scaled_total) : own.total;
  }
  // Of a warp without a number: 0, or NaN where one is.
  __device__ float sum_of_none() const {
    float sum = 0;
    for_each_group([&](int, const float4& x) {
#pragma unroll
      for (int i = 0; i < 4; i++)
        if (!(part_of(x, i) == kNowhere)) sum = __int_as_float(0x7FFFFFFF);
    });
    return warp_sum(sum);
  }

  __device__ void clear_bins() {
    for (int i = threadIdx.x; i < kBins; i += kClusterThreads) mass_[i] = 0;
    __syncthreads();
  }

  ClusterShared& shared_;
  uint32_t* mass_;  // [kBins]
  float4* ring_;
  int slots_;
  int32_t vocab_, first_, own_;
  int pieces_;
  bool comes_;          // by copies that the feed asks for
  bool is_new_ = true;  // nobody has waited for it
  RingPlace place_;
  ClusterFeed feed_;
  int32_t peak_id_ = -1;        // of the last find_peak()
  float warp_peak_ = kNowhere;  // the largest logit of this warp's
};

}  // namespace penstock::cuda
