#include "engine/step/model_runner.h"

#include <algorithm>
#include <cstring>

#include "engine/model/rope_table.h"
#include "engine/step/graph_buckets.h"
#include "kernels/trace_range.h"

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
  step.head_bucket = padded_head_rows(step.wanted);
  step.timed = wants_op_times(step.bucket);
  const std::vector<Part> parts = parts_of(step);
  record_used_before(parts, step);
  {
    StageTimer timer(times_, Stage::upload);
    copy_blocks(plan);
    prepare_slots(plan);
    buffers_.upload(plan, step.bucket, step.head_bucket, backend_);
  }
  step.begin = backend_.mark();
  {
    TraceRange range(stage_name(plan.num_prefill_tokens > 0 ? Stage::prefill : Stage::decode));
    run(parts[0], step);
  }
  step.head_begin = backend_.mark();
  {
    TraceRange range(stage_name(Stage::sample));
    for (size_t i = 1; i < parts.size(); ++i) run(parts[i], step);
  }
  step.end = backend_.mark();
  download_results(plan, step);
  step.downloaded = backend_.mark();
  return step;
}

StepResult ModelRunner::finish(const Step& step, Timing& timing) {
  step.downloaded->wait();
  timing = {.bucket = step.bucket,
            .seconds = step.end->seconds_since(*step.begin),
            .head_seconds = step.end->seconds_since(*step.head_begin),
            .head_bucket = step.head_bucket,
            .graphs = step.graphs,
            .graph_bytes = step.graph_bytes,
            .recorded = step.recorded,
            .ops = {}};
  if (step.timed) {
    timing.ops.emplace();
    for (const auto& marks : step.marks) *timing.ops += marks->times();
  }
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

std::vector<ModelRunner::Part> ModelRunner::parts_of(const Step& step) const {
  std::vector<Part> parts = {{Part::kTrunk, step.bucket, step.timed}};
  const int64_t pass = head_buckets_.back();
  for (int64_t first = 0; first < step.head_bucket; first += pass)
    parts.push_back({first, std::min(pass, step.head_bucket - first), step.timed});
  return parts;
}

void ModelRunner::compute(const Part& part) {
  if (part.first == Part::kTrunk)
    return decoder_.trunk(buffers_.view(part.bucket), kv_.layers(), buffers_.last_tokens());
  decoder_.head(part.bucket, buffers_.head_tokens() + part.first, buffers_.head_rows() + part.first,
                buffers_.results() + part.first, buffers_.top() + part.first * kMaxTopLogprobs, buffers_.last_tokens(),
                buffers_.slots());
}

// Before the step's clock starts, since the device may wait meanwhile. Not at a part's first use: many sizes come only
// once, on the way into a job and out of it, and run eagerly.
void ModelRunner::record_used_before(const std::vector<Part>& parts, Step& step) {
  for (const Part& part : parts) {
    if (!config_.graphs) break;
    RecordedPart& recorded = recorded_[part];
    if (recorded.graph || recorded.uses++ == 0) continue;
    StageTimer timer(times_, Stage::capture_graphs);
    if (part.timed) profiler_->mark_into((recorded.marks = std::make_shared<OpMarks>()).get());
    recorded.graph = backend_.record([this, part] { compute(part); });
    if (part.timed) profiler_->mark_into(nullptr);
    ++graphs_;
    graph_bytes_ += recorded.graph->bytes();
    step.recorded = true;
  }
  step.graphs = graphs_;
  step.graph_bytes = graph_bytes_;
}

void ModelRunner::run(const Part& part, Step& step) {
  const auto found = recorded_.find(part);
  RecordedPart* recorded = found != recorded_.end() && found->second.graph ? &found->second : nullptr;
  if (part.timed) {
    std::shared_ptr<OpMarks> marks = recorded ? recorded->marks : std::make_shared<OpMarks>();
    profiler_->mark_into(marks.get());
    step.marks.push_back(std::move(marks));
  }
  recorded ? recorded->graph->replay() : compute(part);
  if (part.timed) profiler_->mark_into(nullptr);
}

void ModelRunner::time_ops(ProfilingBackend& profiler) {
  profiler_ = &profiler;
  for (const LayerWeights& layer : weights_.layers) {
    profiler.name(layer.qkv, Op::qkv);
    profiler.name(layer.output, Op::output);
    profiler.name(layer.gate_up, Op::gate_up);
    profiler.name(layer.down, Op::down);
  }
  profiler.name(weights_.head(), Op::logits);
}

// Marks are used again, so of the steps in flight one at most is timed.
bool ModelRunner::wants_op_times(int64_t bucket) {
  if (!profiler_) return false;
  ++since_timed_;
  int64_t& left = until_timed_[bucket];
  if (left > 0) {
    --left;
    return false;
  }
  if (since_timed_ < config_.steps_in_flight) return false;
  left = kTimedEvery - 1;
  since_timed_ = 0;
  return true;
}

}  // namespace penstock
