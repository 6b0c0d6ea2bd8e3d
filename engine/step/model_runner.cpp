#include "engine/step/model_runner.h"

#include <algorithm>

#include "engine/model/rope_table.h"
#include "engine/step/graph_buckets.h"

namespace penstock {
namespace {

DeviceBuffer upload_rope(const ModelConfig& model, const MemoryPlan& plan, Backend& backend) {
  std::vector<float> table = rope_tables(model, plan.max_context);
  DeviceBuffer buffer = backend.allocate(static_cast<int64_t>(table.size()) * 4);
  backend.upload(buffer.data(), table.data(), buffer.bytes());
  return buffer;
}

Weights weights_for(const ModelConfig& model, const EngineConfig& config, const ShardPlan& shard,
                    const SafetensorsFolder* files, Backend& backend, int threads, StageTimes& times) {
  StageTimer timer(times, Stage::load_weights);
  return config.random_weights ? random_weights(model, shard, backend, threads)
                               : load_weights(*files, model, shard, backend, threads);
}

}  // namespace

ModelRunner::ModelRunner(const ModelConfig& model, const EngineConfig& config, const MemoryPlan& plan,
                         const ShardPlan& shard, const SafetensorsFolder* files, int threads, Backend& backend,
                         Communicator& communicator, StageTimes& times)
    : config_(config),
      shard_(shard),
      backend_(backend),
      times_(times),
      trunk_buckets_(graph_buckets(plan.max_step_tokens)),
      head_buckets_(graph_buckets(head_rows_at_once(plan.max_batch))),
      weights_(weights_for(model, config, shard, files, backend, threads, times)),
      rope_(upload_rope(model, plan, backend)),
      activations_(model, shard, backend, plan.max_step_tokens, head_rows_at_once(plan.max_batch)),
      kv_(model, shard, backend, plan.kv_blocks, plan.block_size),
      buffers_(step_capacity(plan), backend),
      decoder_(model, shard, weights_, RopeLayout(model, plan.max_context), rope_.as<float>(), activations_, backend,
               communicator) {}

StepResult ModelRunner::run(const StepPlan& plan, Timing& timing) {
  const int64_t wanted = static_cast<int64_t>(plan.head.size());
  const int64_t tokens = config_.graphs ? bucket_for(trunk_buckets_, plan.num_tokens()) : plan.num_tokens();
  {
    StageTimer timer(times_, Stage::upload);
    copy_blocks(plan);
    prepare_slots(plan);
    buffers_.upload(plan, tokens, padded_head_rows(wanted), backend_);
  }
  const double start = monotonic_seconds();
  run_trunk(tokens);
  const double head_start = monotonic_seconds();
  for (int64_t first = 0; first < wanted; first += head_buckets_.back())
    run_head(first, std::min(head_buckets_.back(), wanted - first));

  StepResult result = download_result(plan);
  const double end = monotonic_seconds();
  timing = {.bucket = tokens,
            .seconds = end - start,
            .head_seconds = end - head_start,
            .graphs = static_cast<int64_t>(trunk_graphs_.size() + head_graphs_.size())};
  return result;
}

void ModelRunner::copy_blocks(const StepPlan& plan) {
  if (plan.copies.empty()) return;
  for (const KvCache& cache : kv_.layers()) backend_.copy_blocks({cache, plan.copies});
}

void ModelRunner::prepare_slots(const StepPlan& plan) {
  for (const SlotSetup& setup : plan.setups)
    backend_.prepare_slot({.slots = buffers_.slots(),
                           .slot = setup.slot,
                           .prompt = setup.prompt,
                           .generated = setup.generated,
                           .edits = setup.edits});
}

StepResult ModelRunner::download_result(const StepPlan& plan) {
  const auto wanted = static_cast<int64_t>(plan.head.size());
  StepResult result{.id = plan.id, .head = std::vector<HeadResult>(wanted), .top = {}};
  if (wanted == 0) return result;
  backend_.download(result.head.data(), buffers_.results(), wanted * static_cast<int64_t>(sizeof(HeadResult)));
  if (std::any_of(plan.head.begin(), plan.head.end(), [](const HeadRow& row) { return row.top_logprobs > 0; })) {
    result.top.resize(wanted * kMaxTopLogprobs);
    backend_.download(result.top.data(), buffers_.top(),
                      wanted * kMaxTopLogprobs * static_cast<int64_t>(sizeof(TopLogprob)));
  }
  return result;
}

// Full passes of the head's largest bucket, then the smallest one that holds the rest.
int64_t ModelRunner::padded_head_rows(int64_t wanted) const {
  if (!config_.graphs || wanted == 0) return wanted;
  const int64_t largest = head_buckets_.back(), rest = wanted % largest;
  return wanted - rest + (rest ? bucket_for(head_buckets_, rest) : 0);
}

void ModelRunner::run_trunk(int64_t tokens) {
  auto trunk = [this, tokens] { decoder_.trunk(buffers_.view(tokens), kv_.layers(), buffers_.last_tokens()); };
  if (!config_.graphs) return trunk();
  std::unique_ptr<Graph>& graph = trunk_graphs_[tokens];
  if (!graph) {
    StageTimer timer(times_, Stage::capture_graphs);
    graph = backend_.record(trunk);
  }
  graph->replay();
}

void ModelRunner::run_head(int64_t first, int64_t rows) {
  const int64_t bucket = config_.graphs ? bucket_for(head_buckets_, rows) : rows;
  auto head = [this, first, bucket] {
    decoder_.head(bucket, buffers_.head_tokens() + first, buffers_.head_rows() + first, buffers_.results() + first,
                  buffers_.top() + first * kMaxTopLogprobs, buffers_.last_tokens(), buffers_.slots());
  };
  if (!config_.graphs) return head();
  std::unique_ptr<Graph>& graph = head_graphs_[{first, bucket}];
  if (!graph) {
    StageTimer timer(times_, Stage::capture_graphs);
    graph = backend_.record(head);
  }
  graph->replay();
}

}  // namespace penstock
