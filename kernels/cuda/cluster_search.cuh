// Where a filter cuts a row: top-k and top-p, without sorting.
#pragma once
#include "kernels/cuda/cluster_band.cuh"
#include "kernels/cuda/cluster_row.cuh"

namespace penstock::cuda {

class ClusterSearch : public ClusterRow {
 public:
  using ClusterRow::ClusterRow;

  // The `count` largest within the cut, lower ids first among equals.
  __device__ Cut largest(const RowScale& scale, const Cut& cut, int32_t count) {
    clear_bins();
    count_first_level<false>(scale, cut);
    cluster_sync();
    Band band;
    const double missing = find_band<false>(band, count);
    return refine<false>(scale, cut, band, count, missing);
  }

  // The smallest set of the largest within the cut whose weights reach `share` of its whole weight.
  __device__ Cut nucleus(const RowScale& scale, const Cut& cut, float share) {
    clear_bins();
    const double total = reduce(static_cast<double>(count_first_level<true>(scale, cut)), plus);
    cluster_sync();
    const double wanted = static_cast<double>(share) * total;
    Band band;
    const double missing = find_band<true>(band, wanted);
    return refine<true>(scale, cut, band, wanted, missing);
  }

 protected:
  // A radix search from the top: the bin in which the masses reach what is wanted, then its parts, until so few ids are
  // left that each can be compared with each.

  // The bin of the first level that the masses reach `wanted` with; what is missing before it.
  template <bool kWeights>
  __device__ double find_band(Band& band, double wanted) {
    find_bin(wanted, [](int bin) { return kWeights ? unit_of((kFirstBin + bin) << kWeightShift) : 1.0; });
    if (shared_.found >= 0) {
      band.weight_low = (kFirstBin + shared_.found) << kWeightShift;
      band.weight_high = band.weight_low | ((1u << kWeightShift) - 1);
    } else {  // it ends among those of almost no weight
      band.weight_high = (kFirstBin << kWeightShift) - 1;
    }
    return wanted - shared_.found_before;
  }

  template <bool kWeights>
  __device__ Cut refine(const RowScale& scale, const Cut& cut, Band band, double wanted, double missing) {
    int level = shared_.found >= 0 ? 0 : kKeyLevels;
    while (level < kLevels && !fits_list<kWeights>(band)) {
      const Digit digit = digit_of(level++);
      const double unit = count_level<kWeights>(scale, cut, band, digit);
      find_bin(missing, [unit](int) { return unit; });
      if (shared_.found < 0) return cut;  // all of it counts less
      missing -= shared_.found_before;
      narrow(band, digit, shared_.found);
    }
    return cut_within<kWeights>(scale, cut, band, wanted);
  }

  // How many ids lie in the bin just found, at most; of almost weightless ones nothing is known.
  template <bool kWeights>
  __device__ bool fits_list(const Band& band) const {
    if (shared_.found < 0) return false;
    if (!kWeights) return shared_.found_mass <= kMostListed;
    if (band.weight_low == 0) return false;
    return shared_.found_mass <= kMostListed * unit_of(band.weight_low) * mass_of(band.weight_low);
  }

  __device__ static void narrow(Band& band, const Digit& digit, int found) {
    if (!digit.of_key) {
      band.weight_low |= static_cast<uint32_t>(found) << digit.shift;
      band.weight_high = band.weight_low | ((1u << digit.shift) - 1);
      return;
    }
    if (digit.shift == 11) band.key_low |= 0xFFC00000u;  // ids have 22 bits
    band.key_low |= static_cast<uint64_t>(found) << digit.shift;
    band.key_high = band.key_low | ((uint64_t{1} << digit.shift) - 1);
  }

  // Of what the cut keeps. This thread's sum of weights.
  template <bool kWeights>
  __device__ float count_first_level(const RowScale& scale, const Cut& cut) {
    const bool limited = cut.lowest > kNowhere;
    float sum = 0;
    for_each_group([&](int g, const float4& logits) {
      const float x[4] = {scale(logits.x), scale(logits.y), scale(logits.z), scale(logits.w)};
      float part = 0;
#pragma unroll
      for (int i = 0; i < 4; i++) {
        if (limited && !cut.keeps(x[i], id_of(g, i))) continue;
        const float weight = exp_approximate(x[i]);
        const uint32_t bits = __float_as_uint(weight);
        part += weight;
        const int bin = static_cast<int>(bits >> kWeightShift) - static_cast<int>(kFirstBin);
        if (bin >= 0) atomicAdd(&mass_[bin], kWeights ? mass_of(bits) : 1);
      }
      sum += part;
    });
    return sum;
  }

  // A mass's worth.
  template <bool kWeights>
  __device__ double count_level(const RowScale& scale, const Cut& cut, const Band& band, const Digit& digit) {
    clear_bins();
    const bool light = band.weight_low == 0;
    constexpr float kLightUnits = 0x1p48f;
    for_each_group([&](int g, const float4& logits) {
      const float x[4] = {scale(logits.x), scale(logits.y), scale(logits.z), scale(logits.w)};
#pragma unroll
      for (int i = 0; i < 4; i++) {
        const float weight = exp_approximate(x[i]);
        const uint32_t bits = __float_as_uint(weight);
        const uint64_t key = Band::key_of(x[i], id_of(g, i));
        if (x[i] == kNowhere || !band.holds(bits, key) || !cut.keeps(x[i], id_of(g, i))) continue;
        const auto value = digit.of_key ? static_cast<uint32_t>(key >> digit.shift) : bits >> digit.shift;
        const uint32_t mass = light ? __float2uint_rn(weight * kLightUnits) : mass_of(bits);
        atomicAdd(&mass_[value & ((1u << digit.bits) - 1)], kWeights ? mass : 1);
      }
    });
    cluster_sync();
    return !kWeights ? 1.0 : light ? 1.0 / kLightUnits : unit_of(band.weight_low);
  }

  // The bin, counted down from the last, with which the cluster's masses reach `wanted`: shared_.found, -1 if they do
  // not; before it they come to found_before, and it holds found_mass. The first block adds up; afterwards the bins are
  // free.
  template <class Unit>
  __device__ void find_bin(double wanted, Unit unit_of_bin) {
    if (rank_ == 0) {
      find_bin_of_cluster(wanted, unit_of_bin);
      if (threadIdx.x > 0 && threadIdx.x < kClusterBlocks) {
        ClusterShared& other = *in_block(&shared_, static_cast<int>(threadIdx.x));
        other.found = shared_.found, other.found_before = shared_.found_before, other.found_mass = shared_.found_mass;
      }
    }
    cluster_sync();
  }

  template <class Unit>
  __device__ void find_bin_of_cluster(double wanted, Unit unit_of_bin) {
    constexpr int kEach = kBins / kClusterThreads;
    static_assert(kEach % 4 == 0);
    const int first = kBins - kEach * (static_cast<int>(threadIdx.x) + 1);
    unsigned long long sums[kEach] = {};
#pragma unroll
    for (int block = 0; block < kClusterBlocks; block++) {
      const auto* from = reinterpret_cast<const uint4*>(in_block(mass_, block) + first);
#pragma unroll
      for (int i = 0; i < kEach; i += 4) {
        const uint4 part = from[i / 4];
        sums[i] += part.x, sums[i + 1] += part.y, sums[i + 2] += part.z, sums[i + 3] += part.w;
      }
    }
    double mass[kEach], mine = 0;
#pragma unroll
    for (int i = kEach - 1; i >= 0; i--) mine += mass[i] = static_cast<double>(sums[i]) * unit_of_bin(first + i);
    double up_to = mine;
#pragma unroll
    for (int lanes = 1; lanes < kWarp; lanes *= 2) {
      const double other = __shfl_up_sync(0xFFFFFFFF, up_to, lanes);
      if (lane_ >= lanes) up_to += other;
    }
    if (lane_ == kWarp - 1) shared_.warp_mass[warp_] = up_to;
    if (threadIdx.x == 0) shared_.found = -1;
    double before = __shfl_up_sync(0xFFFFFFFF, up_to, 1);
    if (lane_ == 0) before = 0;
    __syncthreads();
    double base = 0, all = 0;
#pragma unroll
    for (int w = 0; w < kClusterWarps; w++) {
      if (w < warp_) base += shared_.warp_mass[w];
      all += shared_.warp_mass[w];
    }
    before += base, up_to += base;
    if (threadIdx.x == 0 && all < wanted) shared_.found_before = all, shared_.found_mass = 0;
    if (before < wanted && up_to >= wanted) {
      int i = kEach - 1;
#pragma unroll
      for (int j = kEach - 1; j > 0; j--)
        if (i == j && before + mass[j] < wanted) before += mass[j], i = j - 1;
      double found_mass = 0;
#pragma unroll
      for (int j = 0; j < kEach; j++)
        if (i == j) found_mass = mass[j];
      shared_.found = first + i, shared_.found_before = before, shared_.found_mass = found_mass;
    }
    __syncthreads();
  }

  // The cut that lies in the band, whose ids fit the list: what comes before them is added up anew, exactly.
  template <bool kWeights>
  __device__ Cut cut_within(const RowScale& scale, const Cut& cut, const Band& band, double wanted) {
    float before = 0;
    for_each_group([&](int g, const float4& logits) {
      const float x[4] = {scale(logits.x), scale(logits.y), scale(logits.z), scale(logits.w)};
      float part = 0;
#pragma unroll
      for (int i = 0; i < 4; i++) {
        const float weight = exp_approximate(x[i]);
        const uint32_t bits = __float_as_uint(weight);
        if (bits < band.weight_low || !cut.keeps(x[i], id_of(g, i))) continue;
        const uint64_t key = Band::key_of(x[i], id_of(g, i));
        if (band.precedes(bits, key))
          part += kWeights ? weight : 1;
        else if (x[i] > kNowhere && band.holds(bits, key))
          put_on_list(x[i], id_of(g, i));
      }
      before += part;
    });
    const double above = reduce(static_cast<double>(before), plus);
    cluster_sync();  // the list is there
    if (rank_ == 0) publish_cut<kWeights>(above, wanted, cut);
    cluster_sync();
    return shared_.cut;
  }

  __device__ void put_on_list(float scaled, int32_t id) {
    const uint32_t at = atomicAdd(in_block(&shared_.listed, 0), 1);
    if (at >= kMostListed) return;
    Listed& to = in_block(shared_.list, 0)[at];
    to.scaled = scaled, to.id = id;
  }

  // Each thread of the first block takes one id; those beyond the list are of no weight.
  template <bool kWeights>
  __device__ Listed own_listed() {
    static_assert(kMostListed <= kClusterThreads);
    Listed own{.scaled = kNowhere, .id = -1, .mass = 0};
    if (threadIdx.x < num_listed()) {
      own = shared_.list[threadIdx.x];
      own.mass = kWeights ? static_cast<unsigned long long>(exp_approximate(own.scaled) * kListUnits) : 1;
      shared_.list[threadIdx.x].mass = own.mass;
    }
    __syncthreads();
    return own;
  }
  __device__ int num_listed() const { return min(shared_.listed, kMostListed); }

  // An id is kept while those before it have not reached what is wanted. `before`: how many of the list are.
  template <bool kWeights>
  __device__ bool is_kept(const Listed& own, double above, double wanted, int& before) const {
    if (own.id < 0) return false;
    unsigned long long mass = 0;
    for (int i = 0; i < num_listed(); i++) {
      const Listed other = shared_.list[i];
      if (!goes_before(other.scaled, other.id, own.scaled, own.id)) continue;
      mass += other.mass;
      before++;
    }
    return above + static_cast<double>(mass) * (kWeights ? 1.0 / kListUnits : 1.0) < wanted;
  }

  // The last one kept is the cut: it has the most before it.
  template <bool kWeights>
  __device__ void publish_cut(double above, double wanted, const Cut& cut) {
    if (threadIdx.x == 0) shared_.found = -1;
    const Listed own = own_listed<kWeights>();
    int before = 0;
    const bool kept = is_kept<kWeights>(own, above, wanted, before);
    if (kept) atomicMax(&shared_.found, before);
    __syncthreads();
    if (kept && before == shared_.found) shared_.cut = {own.scaled, own.id};
    if (threadIdx.x == 0 && shared_.found < 0) shared_.cut = cut_before_list(num_listed(), cut);
    __syncthreads();
    if (threadIdx.x == 0) shared_.listed = 0;
    if (threadIdx.x > 0 && threadIdx.x < kClusterBlocks) *in_block(&shared_.cut, threadIdx.x) = shared_.cut;
  }

  // By roundings of the bins' masses none on the list is wanted: all of it goes.
  __device__ Cut cut_before_list(int count, const Cut& cut) const {
    if (count == 0) return cut;
    Listed first = shared_.list[0];
    for (int i = 1; i < count; i++)
      if (goes_before(shared_.list[i].scaled, shared_.list[i].id, first.scaled, first.id)) first = shared_.list[i];
    return {first.scaled, first.id - 1};
  }
};

}  // namespace penstock::cuda
