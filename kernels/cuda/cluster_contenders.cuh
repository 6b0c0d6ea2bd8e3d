// The token without a search for the filters' end.
#pragma once
#include <cfloat>

#include "kernels/cuda/cluster_search.cuh"
#include "kernels/cuda/row_words.cuh"

namespace penstock::cuda {

// What a row's filters keep beside its likeliest id. share: of the row's weight, top-p's. least: of scaled logits.
struct Filters {
  float share, least;
};

class ClusterContenders : public ClusterSearch {
 public:
  using ClusterSearch::ClusterSearch;

  // Gumbel-max of what top-p and min-p keep, from a row whose weights add up to `total`. The filters' end is not looked
  // for: the largest key of all ids is the token if it is kept, as it is with a probability of about top-p, and whether
  // it is, is told by the weight of the ids before it. Else the next largest. Their keys are all above a bound that the
  // total allows to set, so that few ids get their noise worked out. `value` of the result: the logit. A negative id:
  // no id above the bound is kept, which comes to pass once in millions of rows, or when filters keep little.
  __device__ Best draw_contender(const RowScale& scale, const HeadRow& want, const Filters& filters, float total) {
    const float least_share = fmaxf(fminf(filters.share, 1), kLeastShare);
    const float bound = __logf(least_share * total) - kPatience;
    float least = filters.least;
    // All ids below that together weigh less than top-p leaves out.
    if (filters.share < 1)
      least = fmaxf(least, __logf((1 - filters.share) * total / static_cast<float>(vocab_)) - 1e-3f);
    const int groups = list_groups(lowest_logit(scale, fmaxf(least, bound - kMostNoise)));
    list_contenders(scale, want, groups, bound, least);
    __syncthreads();
    const double wanted = static_cast<double>(filters.share) * static_cast<double>(total);
    Best rejected;
    for (;;) {
      const Contender one = combine_blocks<Contender>([&] { return best_contender(rejected); }, Contender::of);
      const Best best{one.logit, one.id};
      if (best.id < 0 || best.id == peak_id_ || !(filters.share < 1)) return best;
      if (weight_before(scale, best, groups) < wanted) return best;
      rejected = best;
    }
  }

 protected:
  __device__ static uint32_t word_of(const RandomWords& words, int i) {
    return i == 0 ? words.word[0] : i == 1 ? words.word[1] : i == 2 ? words.word[2] : words.word[3];
  }
  __device__ uint32_t block_of(int g) const { return static_cast<uint32_t>(first_ / 4 + g); }  // as words are numbered

  // No logit below it is read as `scaled` or more. A number.
  __device__ static float lowest_logit(const RowScale& scale, float scaled) {
    const float logit = scale.peak + scaled / scale.inverse;
    return fmaxf(logit - (fabsf(logit) + fabsf(scale.peak)) * 0x1p-20f, -FLT_MAX);
  }
  __device__ uint16_t* listed_groups() const {
    return reinterpret_cast<uint16_t*>(mass_) + warp_ * pieces_ * (kPieceGroups / kClusterWarps);
  }

  // This warp's groups that have a logit from `lowest` on, onto its list. How many they are.
  __device__ int list_groups(float lowest) {
    uint16_t* list = listed_groups();
    const unsigned before = (1u << lane_) - 1;
    int count = 0;
    for_each_group([&](int g, const float4& x) {
      const bool wanted = max4(x) >= lowest;
      const unsigned all = __ballot_sync(0xFFFFFFFF, wanted);
      if (wanted) list[count + __popc(all & before)] = static_cast<uint16_t>(g);
      count += __popc(all);
    });
    __syncwarp();
    return count;
  }

 private:
  // e^2.7 = 15 keys of what top-p keeps are above the bound; exp(-15): that none is. Where it keeps little the bound is
  // that of half the row, so that contenders stay few.
  static constexpr float kPatience = 2.7f, kLeastShare = 0.5f;
  static constexpr int32_t kTooMany = -2;  // in place of a contender's id

  // Whether an id's key may reach the bound, without a logarithm: noise, -log(-log(1 - w)), is below -log w, so w must
  // not be above `chance`, exp(scaled - bound). The left side is 1 + w, rounded down; `chance` may be so by 1e-3.
  __device__ static bool may_reach(float chance, uint32_t word) {
    return __uint_as_float(__funnelshift_r(word, 0x7F, 9)) <= 1 + chance;
  }

  __device__ void list_contenders(const RowScale& scale, const HeadRow& want, int groups, float bound, float least) {
    const RowWords words(want.seed, want.choice, want.position);
    const uint16_t* list = listed_groups();
    const float power = scale.inverse * kLog2E, zero = 1e-3f - bound * kLog2E;
    const auto chance = [&](float logit) { return exp2_approximate(fmaf(logit - scale.peak, power, zero)); };
#pragma unroll 2
    for (int i = lane_; i < groups; i += kWarp) {
      const int g = list[i];
      const float4 x = group(g);
      const RandomWords random = words.of_group(block_of(g));
      const uint32_t least_word = min(min(random.word[0], random.word[1]), min(random.word[2], random.word[3]));
      if (!may_reach(chance(max4(x)), least_word)) continue;
#pragma unroll
      for (int j = 0; j < 4; j++)
        if (may_reach(chance(part_of(x, j)), random.word[j]))
          contend(scale, part_of(x, j), id_of(g, j), random.word[j], bound, least);
    }
  }
  __device__ void contend(const RowScale& scale, float logit, int32_t id, uint32_t word, float bound, float least) {
    const float scaled = scale(logit), key = scaled + noise_of(word);
    if (!(scaled >= least) || !(key >= bound)) return;
    const uint32_t at = atomicAdd(&shared_.num_contenders, 1);
    if (at < kMostContenders) shared_.contenders[at] = {key, logit, id};
  }
  // The one of this block with the largest key, of those that come before the rejected one. By a warp.
  __device__ Contender best_contender(const Best& rejected) const {
    if (shared_.num_contenders > kMostContenders) return {__builtin_inff(), kNowhere, kTooMany};
    Contender own;
    for (int i = lane_; i < static_cast<int>(shared_.num_contenders); i += kWarp) {
      const Contender& one = shared_.contenders[i];
      if (goes_before(one.logit, one.id, rejected.value, rejected.id)) own = Contender::of(own, one);
    }
    return combine_lanes<kWarp>(own, Contender::of);
  }

  // Of the ids that top-p keeps rather than this one, which are all in listed groups. Added up as find_peak() does.
  __device__ double weight_before(const RowScale& scale, const Best& one, int groups) {
    const uint16_t* list = listed_groups();
    const float power = scale.inverse * kLog2E, above = next_above(one.value);
    const auto weight = [&](float logit) { return exp2_approximate((logit - warp_peak_) * power); };
    // Of equal logits those of lower ids: in groups before the id's own …
    const int own_group = (one.id - first_) >> 2;
    float sum = 0;
#pragma unroll 2
    for (int i = lane_; i < groups; i += kWarp) {
      const int g = list[i];
      const float4 x = group(g);
      const float lowest = g < own_group ? one.value : above;
      float part = 0;
#pragma unroll
      for (int j = 0; j < 4; j++)
        if (part_of(x, j) >= lowest) part += weight(part_of(x, j));
      sum += part;
    }
    // … and in that one.
    if (owns(one.id) && own_group % kClusterThreads == static_cast<int>(threadIdx.x))
      for (int i = 0; id_of(own_group, i) < one.id; i++)
        if (part_of(group(own_group), i) == one.value) sum += weight(one.value);
    sum = warp_peak_ > kNowhere ? warp_sum(sum) * exp_approximate((warp_peak_ - scale.peak) * scale.inverse) : 0;
    return combine_warps(static_cast<double>(sum), plus);
  }
  __device__ static float next_above(float x) { return from_ordered_bits(ordered_bits(x + 0.0f) + 1); }
};

}  // namespace penstock::cuda
