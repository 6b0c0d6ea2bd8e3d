// The token: Gumbel-max over what the filters keep.
#pragma once
#include "kernels/cuda/cluster_search.cuh"

namespace penstock::cuda {

// Of the ids that surely belong to a nucleus: the largest key, and their weight.
struct Drawn {
  Best best;
  double weight;
};

class ClusterSampler : public ClusterSearch {
 public:
  using ClusterSearch::ClusterSearch;

  // Gumbel-max within the cut; -1 when it keeps nothing. The first block alone need have the result.
  __device__ int32_t draw(const RowScale& scale, const HeadRow& want, const Cut& cut) {
    Best best = key_of_peak(want);
    queue_groups(
        scale, cut.lowest, [&](int g, float bound) { draw_group(scale, want, cut, g, bound, best); },
        [&] { return best.value; });
    return reduce(best, Best::of).id;
  }

  // Gumbel-max within the nucleus of `share`, above `least`. total: of all weights. Most often one pass counts the
  // weights, and one more draws: where the nucleus ends is then seen to by the first block alone, which has the result.
  __device__ int32_t draw_nucleus(const RowScale& scale, const HeadRow& want, float share, double total, float least) {
    // All ids below the floor together weigh less than the nucleus leaves out.
    const double left_out = (1.0 - static_cast<double>(share)) * total / static_cast<double>(vocab_);
    const float floor = logf(static_cast<float>(left_out)) - 1e-3f;
    start_count();
    count_first_level<true>(scale, Cut(), floor);
    cluster_sync();
    const double wanted = static_cast<double>(share) * total;
    Band band;
    const double missing = find_band<true>(band, wanted);
    if (!fits_list<true>(band)) {
      Cut cut = refine<true>(scale, {floor, INT32_MAX}, band, wanted, missing);
      if (least > cut.lowest) cut = {least, INT32_MAX};
      return draw(scale, want, cut);
    }
    // Safely below the band, and no id that the bins do not count.
    const float begin = fmaxf(logf(__uint_as_float(band.weight_low)) - 1e-4f, floor);
    Drawn own{.best = key_of_peak(want), .weight = 0};
    float weight = 0;
    queue_groups(
        scale, begin,
        [&](int g, float bound) {
          weight += draw_or_list(scale, want, band, {begin, least}, g, bound, own.best);
        },
        [&] { return own.best.value; });
    own.weight = static_cast<double>(weight);
    const Drawn sure = reduce(own, [](const Drawn& a, const Drawn& b) {
      return Drawn{Best::of(a.best, b.best), a.weight + b.weight};
    });
    return rank_ == 0 ? draw_from_list(sure, want, wanted, least) : -1;
  }

  // The ids that the cut keeps, at most kMaxTopLogprobs, best first: into `top`, by the first block. `row`: the logits
  // in device memory.
  __device__ void write_kept(TopLogprob* top, const float* row, const RowScale& scale, const Cut& cut,
                             const Peak& peak) {
    for_each_group([&](int g, const float4& logits) {
      const float x[4] = {scale(logits.x), scale(logits.y), scale(logits.z), scale(logits.w)};
#pragma unroll
      for (int i = 0; i < 4; i++)
        if (x[i] > kNowhere && cut.keeps(x[i], id_of(g, i))) put_on_list(x[i], id_of(g, i));
    });
    cluster_sync();
    if (is_leader()) {
      const int listed = min(shared_.listed, kMaxTopLogprobs);
      shared_.listed = 0;
      for (int i = 0; i < kMaxTopLogprobs; i++) {
        int next = i;
        for (int j = i + 1; j < listed; j++)
          if (goes_before(shared_.list[j].scaled, shared_.list[j].id, shared_.list[next].scaled, shared_.list[next].id))
            next = j;
        const Listed one = shared_.list[next];
        shared_.list[next] = shared_.list[i];
        top[i] = i < listed ? TopLogprob{one.id, log_probability(row[one.id], peak)} : TopLogprob();
      }
    }
    cluster_sync();
  }

 private:
  // Calls visit(group, bound) for the groups with a logit from `lowest` on. Groups that have none cost little: a warp
  // gathers those that do, and gives each lane one. bound: the largest of best_of_lane() over the warp.
  template <class Visit, class BestOfLane>
  __device__ void queue_groups(const RowScale& scale, float lowest, Visit visit, BestOfLane best_of_lane) {
    uint16_t* queue = shared_.queue[warp_];
    bins_are_clear_ = false;
    int waiting = 0;
    for (int begin = warp_ * kWarp; begin < groups_; begin += kClusterThreads) {
      const int g = begin + lane_;
      bool wanted = false;
      if (g < groups_) {
        const float4 x = x_[g];
        const float most = scale(fmaxf(fmaxf(x.x, x.y), fmaxf(x.z, x.w)));
        wanted = most >= lowest && most > kNowhere;
      }
      const unsigned all = __ballot_sync(0xFFFFFFFF, wanted);
      if (wanted) queue[waiting + __popc(all & ((1u << lane_) - 1))] = static_cast<uint16_t>(g);
      waiting += __popc(all);
      __syncwarp();
      if (waiting < kWarp) continue;
      visit(queue[lane_], largest_in_warp(best_of_lane()));
      waiting -= kWarp;
      const uint16_t left = queue[kWarp + lane_];
      __syncwarp();
      queue[lane_] = left;
      __syncwarp();
    }
    const float bound = largest_in_warp(best_of_lane());
    if (lane_ < waiting) visit(queue[lane_], bound);
  }
  __device__ static float largest_in_warp(float x) {
    return from_ordered_bits(__reduce_max_sync(0xFFFFFFFF, ordered_bits(x)));
  }

  __device__ static RandomWords words_of(const HeadRow& want, int32_t id) {
    return random_words(want.seed, want.choice, want.position, RandomUse::token, static_cast<uint32_t>(id) / 4);
  }
  __device__ static uint32_t word_of(const RandomWords& words, int i) {
    return i == 0 ? words.word[0] : i == 1 ? words.word[1] : i == 2 ? words.word[2] : words.word[3];
  }
  // The likeliest id's: most others can be told from it to have no chance. It is part of every cut.
  __device__ Best key_of_peak(const HeadRow& want) const {
    return {noise_of(word_of(words_of(want, peak_id_), peak_id_ % 4)), peak_id_};
  }

  // -log(-log(1 - w)) < -log w, and w >= 2^-(leading zeros + 1).
  __device__ static float most_noise(uint32_t word) { return static_cast<float>(__clz(word) + 1) * 0.69314724f; }

  __device__ static void try_key(float x, int32_t id, uint32_t word, float bound, Best& best) {
    if (!(x + most_noise(word) >= bound)) return;
    best = Best::of(best, {x + noise_of(word), id});
  }

  __device__ void draw_group(const RowScale& scale, const HeadRow& want, const Cut& cut, int g, float bound,
                             Best& best) const {
    const float4 logits = x_[g];
    const float x[4] = {scale(logits.x), scale(logits.y), scale(logits.z), scale(logits.w)};
    const RandomWords words = words_of(want, id_of(g, 0));
#pragma unroll
    for (int i = 0; i < 4; i++)
      if (x[i] > kNowhere && cut.keeps(x[i], id_of(g, i))) try_key(x[i], id_of(g, i), words.word[i], bound, best);
  }

  struct Limits {
    float listed, drawn;  // from which value on
  };
  // Before the band: to be drawn from; within it: onto the list. The weight of those before.
  __device__ float draw_or_list(const RowScale& scale, const HeadRow& want, const Band& band, const Limits& limits,
                                int g, float bound, Best& best) {
    const float4 logits = x_[g];
    const float x[4] = {scale(logits.x), scale(logits.y), scale(logits.z), scale(logits.w)};
    const RandomWords words = words_of(want, id_of(g, 0));
    float sum = 0;
#pragma unroll
    for (int i = 0; i < 4; i++) {
      const float weight = exp_approximate(x[i]);
      const uint32_t bits = __float_as_uint(weight);
      if (bits > band.weight_high) {
        sum += weight;
        if (x[i] >= limits.drawn) try_key(x[i], id_of(g, i), words.word[i], bound, best);
      } else if (bits >= band.weight_low && x[i] >= limits.listed) {
        put_on_list(x[i], id_of(g, i));
      }
    }
    return sum;
  }

  // By the first block: what the list adds to what was surely in the nucleus.
  __device__ int32_t draw_from_list(const Drawn& sure, const HeadRow& want, double wanted, float least) {
    const Listed own = own_listed<true>();
    int before = 0;
    const bool kept = is_kept<true>(own, sure.weight, wanted, before);
    Best best = sure.best;
    if (kept && own.scaled >= least)
      best = Best::of(best, {own.scaled + noise_of(word_of(words_of(want, own.id), own.id % 4)), own.id});
    best = reduce_warp(best, Best::of);
    if (lane_ == 0) reinterpret_cast<Best*>(shared_.warp_mass)[warp_] = best;
    __syncthreads();
    for (int w = 0; w < kClusterWarps; w++) best = Best::of(best, reinterpret_cast<const Best*>(shared_.warp_mass)[w]);
    return best.id;
  }
};

}  // namespace penstock::cuda
