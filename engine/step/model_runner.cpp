#include "engine/step/model_runner.h"

#include <algorithm>
#include <cstring>

#include "engine/step/draft_passes.h"
#include "kernels/trace_range.h"

namespace penstock {
namespace {

// Ids that both models and the tokenizer know.
int64_t common_ids(const ModelConfig& model, const std::optional<DraftShare>& draft) {
  if (!draft) return model.vocab;
  const int64_t rows = std::min(model.vocab, draft->model.vocab);
  return draft->num_ids > 0 ? std::min(rows, draft->num_ids) : rows;
}

}  // namespace

ModelRunner::ModelRunner(const ModelConfig& model, const EngineConfig& config, const MemoryPlan& plan,
                         const ShardPlan& shard, const SafetensorsFolder* files, int threads, Backend& backend,
                         Communicator& communicator, StageTimes& times, const std::optional<DraftShare>& draft)
    : memory_(plan),
      backend_(backend),
      times_(times),
      slots_(plan.max_batch, model.vocab, backend, config.steps_in_flight),
      target_({.config = model,
               .shard = shard,
               .files = files,
               .capacity = step_capacity(plan),
               .max_context = plan.max_context,
               .drawing = {model.vocab, config.table_agreement, common_ids(model, draft)},
               .passes = 1},
              {config, plan, threads, backend, communicator, times}, slots_) {
  if (draft) {
    const int64_t ids = common_ids(model, draft);
    draft_.emplace(PassRunner::Model{.config = draft->model,
                                     .shard = draft->shard,
                                     .files = draft->files,
                                     .capacity = draft_capacity(plan),
                                     .max_context = plan.draft->max_context,
                                     .drawing = {ids, config.table_agreement, ids},
                                     .passes = kMaxDrafts},
                   PassRunner::Place{config, plan, threads, backend, communicator, times}, slots_);
    draft_vocab_ = static_cast<int32_t>(draft->model.vocab);
  }
  StepShape largest = largest_step(model, plan, shard);
  if (draft) largest = larger(largest, largest_step(draft->model, plan, draft->shard));
  backend.reserve_workspace(largest);
  const int64_t row_bytes = sizeof(HeadResult) + kMaxTopLogprobs * sizeof(TopLogprob);
  for (int i = 0; i < config.steps_in_flight; ++i)
    results_.push_back(backend.allocate_staging(step_capacity(plan).head_rows * row_bytes));
}

ModelRunner::Step ModelRunner::start(const StepPlan& plan) {
  Step step;
  step.id = plan.id;
  step.wanted = static_cast<int64_t>(plan.head.size());
  PassRunner::Pass pass = target_.prepare(plan);
  std::vector<DraftPass> drafts = prepare_drafts(plan);
  step.bucket = pass.bucket, step.head_bucket = pass.head_bucket, step.timed = pass.timed;
  step.recorded = pass.recorded, step.warming = pass.warming;
  for (const DraftPass& draft : drafts) step.recorded |= draft.pass.recorded, step.warming |= draft.pass.warming;
  step.graphs = target_.graphs() + (draft_ ? draft_->graphs() : 0);
  step.graph_bytes = target_.graph_bytes() + (draft_ ? draft_->graph_bytes() : 0);
  upload(plan, pass);
  if (!drafts.empty()) {
    step.draft_begin = backend_.mark();
    run_drafts(drafts);
  }
  step.begin = backend_.mark();
  {
    TraceRange range(stage_name(plan.num_prefill_tokens > 0 ? Stage::prefill : Stage::decode));
    target_.trunk(pass);
  }
  step.head_begin = backend_.mark();
  {
    TraceRange range(stage_name(Stage::sample));
    target_.head(pass);
    target_.accept_drafts(plan, pass);
  }
  step.end = backend_.mark();
  step.marks = std::move(pass.marks);
  download_results(plan, step);
  step.downloaded = backend_.mark();
  return step;
}

StepResult ModelRunner::finish(const Step& step, Timing& timing) {
  step.downloaded->wait();
  timing = {.bucket = step.bucket,
            .seconds = step.end->seconds_since(*step.begin),
            .head_seconds = step.end->seconds_since(*step.head_begin),
            .draft_seconds = step.draft_begin ? step.begin->seconds_since(*step.draft_begin) : 0,
            .head_bucket = step.head_bucket,
            .graphs = step.graphs,
            .graph_bytes = step.graph_bytes,
            .recorded = step.recorded,
            .warming = step.warming,
            .ops = {}};
  if (step.timed) {
    timing.ops.emplace();
    for (const auto& marks : step.marks) *timing.ops += marks->times();
  }
  StepResult result{.id = step.id,
                    .head = std::vector<HeadResult>(step.wanted),
                    .top = {},
                    .seconds = timing.seconds,
                    .draft_seconds = timing.draft_seconds,
                    .warming = timing.warming};
  const int64_t head_bytes = step.wanted * static_cast<int64_t>(sizeof(HeadResult));
  if (step.wanted > 0) std::memcpy(result.head.data(), step.results, head_bytes);
  if (step.wants_top) {
    result.top.resize(step.wanted * kMaxTopLogprobs);
    std::memcpy(result.top.data(), step.results + head_bytes, result.top.size() * sizeof(TopLogprob));
  }
  return result;
}

std::vector<ModelRunner::DraftPass> ModelRunner::prepare_drafts(const StepPlan& plan) {
  if (!plan.drafts.empty() && !draft_) throw Error(ExitCode::internal, "a step's drafts have no model to make them");
  std::vector<DraftPass> passes;
  for (StepPlan& one : draft_passes(plan, memory_.max_batch, draft_vocab_, memory_.block_size)) {
    PassRunner::Pass pass = draft_->prepare(one);
    passes.push_back({std::move(one), std::move(pass)});
  }
  return passes;
}

void ModelRunner::upload(const StepPlan& plan, const PassRunner::Pass& pass) {
  StageTimer timer(times_, Stage::upload);
  target_.copy_blocks(plan);
  if (draft_) draft_->copy_blocks(plan);
  slots_.prepare(plan, backend_);
  target_.upload(plan, pass);
}

// Nothing is waited for in between: each pass is fed what the one before it drew from the slots' drafts.
void ModelRunner::run_drafts(std::vector<DraftPass>& passes) {
  TraceRange range(stage_name(Stage::draft));
  for (DraftPass& draft : passes) {
    draft_->upload(draft.plan, draft.pass);
    draft_->trunk(draft.pass);
    draft_->head(draft.pass);
  }
}

void ModelRunner::download_results(const StepPlan& plan, Step& step) {
  char* staging = results_[next_results_++ % results_.size()].as<char>();
  step.results = staging;
  step.wants_top =
      std::any_of(plan.head.begin(), plan.head.end(), [](const HeadRow& row) { return row.top_logprobs > 0; });
  const int64_t head_bytes = step.wanted * static_cast<int64_t>(sizeof(HeadResult));
  const int64_t top_bytes = step.wanted * kMaxTopLogprobs * static_cast<int64_t>(sizeof(TopLogprob));
  if (step.wanted > 0) backend_.download_later(staging, target_.results(), head_bytes);
  if (step.wants_top) backend_.download_later(staging + head_bytes, target_.top(), top_bytes);
}

}  // namespace penstock
