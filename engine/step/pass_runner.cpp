#include "engine/step/pass_runner.h"

#include <algorithm>
#include <limits>

#include "engine/model/rope_table.h"
#include "engine/step/graph_buckets.h"

namespace penstock {
namespace {

DeviceBuffer upload_rope(const ModelConfig& model, int64_t max_context, Backend& backend) {
  std::vector<float> table = rope_tables(model, max_context);
  DeviceBuffer buffer = backend.allocate(static_cast<int64_t>(table.size()) * 4);
  backend.upload(buffer.data(), table.data(), buffer.bytes());
  return buffer;
}

Weights weights_for(const PassRunner::Model& model, const PassRunner::Place& place) {
  StageTimer timer(place.times, Stage::load_weights);
  return place.config.random_weights
             ? random_weights(model.config, model.shard, place.backend, place.threads)
             : load_weights(*model.files, model.config, model.shard, place.backend, place.threads);
}

}  // namespace

int64_t halved_from(const EngineConfig& config, const Communicator& communicator) {
  return communicator.can_begin_sums() ? config.halved_from() : std::numeric_limits<int64_t>::max();
}

PassRunner::PassRunner(const Model& model, const Place& place, const SlotBuffers& slots)
    : config_(place.config),
      backend_(place.backend),
      communicator_(place.communicator),
      times_(place.times),
      slots_(slots),
      trunk_buckets_(graph_buckets(model.capacity.tokens)),
      head_buckets_(graph_buckets(place.memory.head_rows)),
      loading_(std::async(std::launch::async, [&] { return weights_for(model, place); })),
      rope_(upload_rope(model.config, model.max_context, backend_)),
      activations_(model.config, model.shard, backend_,
                   {model.capacity.tokens, head_buckets_.back(), halved_from(config_, communicator_)}),
      kv_(model.config, model.shard, backend_, place.memory.kv_blocks, place.memory.block_size),
      buffers_(model.capacity, backend_, config_.steps_in_flight, config_.steps_in_flight * (model.passes - 1)),
      weights_(loading_.get()),
      decoder_(model.config, model.shard, weights_, RopeLayout(model.config, model.max_context), rope_.as<float>(),
               activations_, model.drawing, backend_, place.communicator) {}

PassRunner::Pass PassRunner::prepare(const StepPlan& plan) {
  if (plan.num_tokens() > trunk_buckets_.back()) throw Error(ExitCode::internal, "a step has too many tokens");
  Pass pass;
  pass.bucket = config_.graphs ? bucket_for(trunk_buckets_, plan.num_tokens()) : plan.num_tokens();
  pass.head_bucket = padded_head_rows(static_cast<int64_t>(plan.head.size()));
  pass.timed = wants_op_times(pass.bucket);
  pass.parts.push_back({Part::kTrunk, pass.bucket, pass.timed});
  const int64_t most = head_buckets_.back();
  for (int64_t first = 0; first < pass.head_bucket; first += most)
    pass.parts.push_back({first, std::min(most, pass.head_bucket - first), pass.timed});
  std::vector<Part> wanted;
  for (const Part& part : pass.parts) {
    pass.warming |= recorded_[part].uses == 0 || wants_tuning(part);
    if (wants_recording(part)) wanted.push_back(part);
  }
  if (wanted.empty()) return pass;
  pass.recorded = pass.warming = true;
  while_all_rest([&] {
    for (const Part& part : wanted) record(part, recorded_[part]);
  });
  return pass;
}

// A part that is timed comes seldom: it is tuned when the same that is not has come often.
bool PassRunner::wants_tuning(const Part& part) {
  return !recorded_[part].tuned && recorded_[{part.first, part.bucket, false}].uses >= kUsesBeforeTuning;
}

// Not at a part's first use: many sizes come only once, on the way into a job and out of it, and run eagerly.
bool PassRunner::wants_recording(const Part& part) {
  const RecordedPart& recorded = recorded_[part];
  return config_.graphs && recorded.uses > 0 && (!recorded.graph || wants_tuning(part));
}

void PassRunner::copy_blocks(const StepPlan& plan) {
  if (plan.copies.empty()) return;
  run_first_at_rest(has_copied_, [&] {
    for (const KvCache& cache : kv_.layers()) backend_.copy_blocks({cache, plan.copies});
  });
}

void PassRunner::trunk(Pass& pass) {
  communicator_.begin_pass();
  run(pass.parts[0], pass);
}

void PassRunner::head(Pass& pass) {
  for (size_t i = 1; i < pass.parts.size(); ++i) run(pass.parts[i], pass);
}

// Not recorded: its size is that of the plan.
void PassRunner::accept_drafts(const StepPlan& plan, Pass& pass) {
  if (plan.verify.empty()) return;
  if (pass.timed) {
    auto marks = std::make_shared<OpMarks>();
    profiler_->mark_into(marks.get());
    pass.marks.push_back(std::move(marks));
  }
  run_first_at_rest(has_accepted_, [&] {
    backend_.accept_drafts({.rows = buffers_.verify_rows(),
                            .count = static_cast<int64_t>(plan.verify.size()),
                            .results = buffers_.results(),
                            .last_tokens = slots_.last_tokens(),
                            .drafts = slots_.drafts(),
                            .slots = slots_.state()});
  });
  if (pass.timed) profiler_->mark_into(nullptr);
}

// Full passes of the head's largest bucket, then the smallest one that holds the rest.
int64_t PassRunner::padded_head_rows(int64_t wanted) const {
  if (!config_.graphs || wanted == 0) return wanted;
  const int64_t largest = head_buckets_.back(), rest = wanted % largest;
  return wanted - rest + (rest ? bucket_for(head_buckets_, rest) : 0);
}

void PassRunner::compute(const Part& part, bool tuned) {
  backend_.set_autotune(tuned);
  if (part.first == Part::kTrunk) return decoder_.trunk(buffers_.view(part.bucket), kv_.layers(), slots_.last_tokens());
  decoder_.head(part.bucket, buffers_.head_tokens() + part.first,
                {.logits = {},
                 .rows = buffers_.head_rows() + part.first,
                 .results = buffers_.results() + part.first,
                 .last_tokens = slots_.last_tokens(),
                 .top = buffers_.top() + part.first * kMaxTopLogprobs,
                 .slots = slots_.state(),
                 .drafts = slots_.drafts()});
}

void PassRunner::record(const Part& part, RecordedPart& recorded) {
  StageTimer timer(times_, Stage::capture_graphs);
  if (part.timed) profiler_->mark_into((recorded.marks = std::make_shared<OpMarks>()).get());
  int64_t before = 0;
  if (recorded.graph) {
    before = recorded.graph->bytes();
    backend_.synchronize();  // it may still run
    recorded.graph.reset();
  } else {
    ++graphs_;
  }
  recorded.tuned = wants_tuning(part);
  recorded.graph = backend_.record([this, part, tuned = recorded.tuned] { compute(part, tuned); });
  if (part.timed) profiler_->mark_into(nullptr);
  graph_bytes_ += std::max<int64_t>(0, recorded.graph->bytes() - before);  // it may lie where the one before did
}

void PassRunner::run(const Part& part, Pass& pass) {
  RecordedPart& recorded = recorded_[part];
  const bool replays = recorded.graph != nullptr;
  if (part.timed) {
    std::shared_ptr<OpMarks> marks = replays ? recorded.marks : std::make_shared<OpMarks>();
    profiler_->mark_into(marks.get());
    pass.marks.push_back(std::move(marks));
  }
  if (replays)
    recorded.graph->replay();
  else
    run_eagerly(part, recorded);
  ++recorded.uses;
  if (part.timed) profiler_->mark_into(nullptr);
}

void PassRunner::run_eagerly(const Part& part, RecordedPart& recorded) {
  const bool tunes = wants_tuning(part);
  while_all_rest([&] { compute(part, tunes); });
  recorded.tuned |= tunes;
}

// What a driver does for the first time may wait for the device, which must not wait for another rank then.
void PassRunner::while_all_rest(const std::function<void()>& action) {
  communicator_.rest();
  action();
  communicator_.rest();
}

void PassRunner::run_first_at_rest(bool& has_run, const std::function<void()>& action) {
  if (has_run) return action();
  while_all_rest(action);
  has_run = true;
}

void PassRunner::time_ops(ProfilingBackend& profiler) {
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
bool PassRunner::wants_op_times(int64_t bucket) {
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
