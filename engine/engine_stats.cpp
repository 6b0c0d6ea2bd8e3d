// What several replicas did, as if one had.
#include <algorithm>
#include <map>

#include "engine/engine.h"

namespace penstock {
namespace {

void add_speculation(SpeculationStats& sum, const SpeculationStats& other) {
  const auto add = [](auto& positions, const auto& more) {
    for (size_t i = 0; i < positions.size(); ++i) positions[i] += more[i];
  };
  for (auto drafter : {&SpeculationStats::ngram, &SpeculationStats::model}) {
    add((sum.*drafter).proposed, (other.*drafter).proposed);
    add((sum.*drafter).accepted, (other.*drafter).accepted);
  }
  sum.steps += other.steps;
  sum.rows += other.rows;
  sum.tokens += other.tokens;
  sum.catch_up_tokens += other.catch_up_tokens;
  sum.seconds += other.seconds;
  sum.draft_seconds += other.draft_seconds;
  sum.seconds_without += other.seconds_without;
}

void add_scheduler(SchedulerStats& sum, const SchedulerStats& other) {
  sum.steps += other.steps;
  sum.preemptions += other.preemptions;
  sum.recomputed_tokens += other.recomputed_tokens;
  sum.prompt_tokens += other.prompt_tokens;
  sum.cached_tokens += other.cached_tokens;
  sum.peak_used_blocks += other.peak_used_blocks;  // each one's, at different times
  sum.block_copies += other.block_copies;
  add_speculation(sum.speculation, other.speculation);
}

void add_buckets(std::vector<BucketStats>& sum, const std::vector<BucketStats>& other) {
  std::map<int64_t, BucketStats> all;
  for (const BucketStats& bucket : sum) all[bucket.bucket] = bucket;
  for (const BucketStats& bucket : other) {
    BucketStats& both = all[bucket.bucket];
    both.bucket = bucket.bucket;
    both.steps += bucket.steps;
    both.seconds += bucket.seconds;
    both.padding_tokens += bucket.padding_tokens;
  }
  sum.clear();
  for (const auto& [tokens, bucket] : all) sum.push_back(bucket);
}

}  // namespace

EngineStats& EngineStats::operator+=(const EngineStats& other) {
  add_scheduler(scheduler, other.scheduler);
  add_buckets(buckets, other.buckets);
  prefill_tokens += other.prefill_tokens;
  decode_tokens += other.decode_tokens;
  prefill_step_tokens += other.prefill_step_tokens;
  decode_step_tokens += other.decode_step_tokens;
  prefill_step_seconds += other.prefill_step_seconds;
  decode_step_seconds += other.decode_step_seconds;
  loop_seconds += other.loop_seconds;
  graphs += other.graphs;
  graph_bytes += other.graph_bytes;
  if (other.first_token_at > 0)
    first_token_at = first_token_at > 0 ? std::min(first_token_at, other.first_token_at) : other.first_token_at;
  account += other.account;
  series += other.series;
  return *this;
}

}  // namespace penstock
