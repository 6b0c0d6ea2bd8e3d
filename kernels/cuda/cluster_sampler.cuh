// The token: Gumbel-max over what the filters keep, wherever they end.
#pragma once
#include "kernels/cuda/cluster_contenders.cuh"

namespace penstock::cuda {

class ClusterSampler : public ClusterContenders {
 public:
  using ClusterContenders::ClusterContenders;

  // Gumbel-max within the cut.
  __device__ int32_t draw(const RowScale& scale, const HeadRow& want, const Cut& cut) {
    Best best = key_of_peak(want);
    queue_groups(
        scale, cut.lowest, [&](int g, float bound) { draw_group(scale, want, cut, g, bound, best); },
        [&] { return best.value; });
    return reduce(best, Best::of).id;
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
    uint16_t* queue = reinterpret_cast<uint16_t*>(mass_) + warp_ * 2 * kWarp;
    int waiting = 0;
    for (int begin = warp_ * kWarp; begin < pieces_ * kPieceGroups; begin += kClusterThreads) {
      const int g = begin + lane_;
      const float most = scale(max4(group(g)));
      const bool wanted = most >= lowest && most > kNowhere;
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
    const float4 logits = group(g);
    const float x[4] = {scale(logits.x), scale(logits.y), scale(logits.z), scale(logits.w)};
    const RandomWords words = words_of(want, id_of(g, 0));
#pragma unroll
    for (int i = 0; i < 4; i++)
      if (x[i] > kNowhere && cut.keeps(x[i], id_of(g, i))) try_key(x[i], id_of(g, i), words.word[i], bound, best);
  }
};

}  // namespace penstock::cuda
