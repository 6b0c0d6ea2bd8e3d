// The token: Gumbel-max over what the filters keep, wherever they end.
#pragma once
#include "kernels/cuda/cluster_contenders.cuh"

namespace penstock::cuda {

class ClusterSampler : public ClusterContenders {
 public:
  using ClusterContenders::ClusterContenders;

  // Gumbel-max within the cut.
  __device__ int32_t draw(const RowScale& scale, const HeadRow& want, const Cut& cut) {
    const RowWords words(want.seed, want.choice, want.position);
    // The likeliest id's key: most others can be told from it to have no chance. It is part of every cut.
    const RandomWords of_peak = words.of_group(static_cast<uint32_t>(peak_id_) / 4);
    Best best{noise_of(word_of(of_peak, peak_id_ % 4)), peak_id_};
    const int groups = list_groups(lowest_logit(scale, cut.lowest));
    const uint16_t* list = listed_groups();
    for (int first = 0; first < groups; first += kWarp) {
      const float bound = largest_in_warp(best.value);
      if (first + lane_ < groups) draw_group(scale, words, cut, list[first + lane_], bound, best);
    }
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
  // -log(-log(1 - w)) < -log w, and w >= 2^-(leading zeros + 1).
  __device__ static float most_noise(uint32_t word) { return static_cast<float>(__clz(word) + 1) * 0.69314724f; }

  __device__ static void try_key(float x, int32_t id, uint32_t word, float bound, Best& best) {
    if (!(x + most_noise(word) >= bound)) return;
    best = Best::of(best, {x + noise_of(word), id});
  }

  __device__ void draw_group(const RowScale& scale, const RowWords& words, const Cut& cut, int g, float bound,
                             Best& best) const {
    const float4 logits = group(g);
    const float x[4] = {scale(logits.x), scale(logits.y), scale(logits.z), scale(logits.w)};
    const RandomWords random = words.of_group(block_of(g));
#pragma unroll
    for (int i = 0; i < 4; i++)
      if (x[i] > kNowhere && cut.keeps(x[i], id_of(g, i))) try_key(x[i], id_of(g, i), random.word[i], bound, best);
  }
};

}  // namespace penstock::cuda
