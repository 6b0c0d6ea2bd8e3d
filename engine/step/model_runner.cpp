#include "engine/step/model_runner.h"

#include <algorithm>
#include <cstring>

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
      loading_(std::async(
          std::launch::async,
          [&, files, threads] { return weights_for(model, config, shard, files, backend, threads, times); })),
      rope_(upload_rope(model, plan, backend)),
      activations_(model, shard, backend, plan.max_step_tokens, head_rows_at_once(plan.max_batch)),
      kv_(model, shard, backend, plan.kv_blocks, plan.block_size),
      buffers_(step_capacity(plan), backend, config.steps_in_flight),
      weights_(loading_.get()),
      decoder_(model, shard, weights_, RopeLayout(model, plan.max_context), rope_.as<float>(), activations_, backend,
               communicator) {
  backend.reserve_workspace(largest_step(model, plan, shard));
  const int64_t row_bytes = sizeof(HeadResult) + kMaxTopLogprobs * sizeof(TopLogprob);
  for (int i = 0; i < config.steps_in_flight; ++i)
    results_.push_back(backend.allocate_staging(step_capacity(plan).head_rows * row_bytes));
}

ModelRunner::Step ModelRunner::start(const StepPlan& plan) {
  Step step;
  step.id = plan.id;
  step.wanted = static_cast<int64_t>(plan.head.size());
  step.bucket = config_.graphs ? bucket_for(trunk_buckets_, plan.num_tokens()) : plan.num_tokens();
  {
    StageTimer timer(times_, Stage::upload);
    copy_blocks(plan);
    prepare_slots(plan);
    buffers_.upload(plan, step.bucket, padded_head_rows(step.wanted), backend_);
  }
  step.begin = backend_.mark();
  run_trunk(step.bucket);
  step.head_begin = backend_.mark();
  for (int64_t first = 0; first < step.wanted; first += head_buckets_.back())
    run_head(first, std::min(head_buckets_.back(), step.wanted - first));
  step.end = backend_.mark();
  download_results(plan, step);
  step.downloaded = backend_.mark();
  step.graphs = graphs_;
  step.graph_bytes = graph_bytes_;
  return step;
}

StepResult ModelRunner::finish(const Step& step, Timing& timing) {
  step.downloaded->wait();
  timing = {.bucket = step.bucket,
            .seconds = step.end->seconds_since(*step.begin),
            .head_seconds = step.end->seconds_since(*step.head_begin),
            .graphs = step.graphs,
            .graph_bytes = step.graph_bytes};
  StepResult result{.id = step.id, .head = std::vector<HeadResult>(step.wanted), .top = {}};
  const int64_t head_bytes = step.wanted * static_cast<int64_t>(sizeof(HeadResult));
  if (step.wanted > 0) std::memcpy(result.head.data(), step.results, head_bytes);
  if (step.wants_top) {
    result.top.resize(step.wanted * kMaxTopLogprobs);
    std::memcpy(result.top.data(), step.results + head_bytes, result.top.size() * sizeof(TopLogprob));
  }
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

void ModelRunner::download_results(const StepPlan& plan, Step& step) {
  char* staging = results_[next_results_++ % results_.size()].as<char>();
  step.results = staging;
  step.wants_top =
      std::any_of(plan.head.begin(), plan.head.end(), [](const HeadRow& row) { return row.top_logprobs > 0; });
  const int64_t head_bytes = step.wanted * static_cast<int64_t>(sizeof(HeadResult));
  const int64_t top_bytes = step.wanted * kMaxTopLogprobs * static_cast<int64_t>(sizeof(TopLogprob));
  if (step.wanted > 0) backend_.download_later(staging, buffers_.results(), head_bytes);
  if (step.wants_top) backend_.download_later(staging + head_bytes, buffers_.top(), top_bytes);
}

// Full passes of the head's largest bucket, then the smallest one that holds the rest.
int64_t ModelRunner::padded_head_rows(int64_t wanted) const {
  if (!config_.graphs || wanted == 0) return wanted;
  const int64_t largest = head_buckets_.back(), rest = wanted % largest;
  return wanted - rest + (rest ? bucket_for(head_buckets_, rest) : 0);
}

void ModelRunner::run_trunk(int64_t tokens) {
  auto trunk = [this, tokens] { decoder_.trunk(buffers_.view(tokens), kv_.layers(), buffers_.last_tokens()); };
  run(trunk_graphs_[tokens], trunk);
}

void ModelRunner::run_head(int64_t first, int64_t rows) {
  const int64_t bucket = config_.graphs ? bucket_for(head_buckets_, rows) : rows;
  auto head = [this, first, bucket] {
    decoder_.head(bucket, buffers_.head_tokens() + first, buffers_.head_rows() + first, buffers_.results() + first,
                  buffers_.top() + first * kMaxTopLogprobs, buffers_.last_tokens(), buffers_.slots());
  };
  run(head_graphs_[{first, bucket}], head);
}

// Eagerly the first time: many sizes come only once, on the way into a job and out of it, and none is waited for.
void ModelRunner::run(Recorded& recorded, const std::function<void()>& verbs) {
  if (!config_.graphs || recorded.uses++ == 0) return verbs();
  if (!recorded.graph) {
    StageTimer timer(times_, Stage::capture_graphs);
    recorded.graph = backend_.record(verbs);
    ++graphs_;
    graph_bytes_ += recorded.graph->bytes();
  }
  recorded.graph->replay();
}

}  // namespace penstock
