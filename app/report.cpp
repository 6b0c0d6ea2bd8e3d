#include "app/report.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <numeric>

#include "app/process_start.h"
#include "app/report_replicas.h"
#include "app/report_speculation.h"
#include "app/report_work.h"

namespace penstock {

namespace {

constexpr int kSchemaVersion = 3;  // samples/reports/README.md tells what each holds

double per_second(int64_t count, double seconds) { return seconds > 0 ? static_cast<double>(count) / seconds : 0; }

OrderedJson latency(const Histogram& histogram) {
  Histogram::Counts all = histogram.counts();
  return {{"count", histogram.count()},
          {"mean", histogram.mean()},
          {"p50", histogram.percentile(0.5)},
          {"p90", histogram.percentile(0.9)},
          {"p99", histogram.percentile(0.99)},
          {"max", histogram.max()},
          {"histogram", {{"edges", std::move(all.edges)}, {"counts", std::move(all.counts)}}}};
}

OrderedJson stages(const StageTimes& times) {
  OrderedJson all = OrderedJson::object();
  for (int i = 0; i < kNumStages; ++i) {
    const auto stage = static_cast<Stage>(i);
    if (times.count(stage) == 0) continue;
    all[stage_name(stage)] = {{"seconds", times.seconds(stage)}, {"count", times.count(stage)}};
  }
  return all;
}

OrderedJson buckets(const EngineStats& stats) {
  OrderedJson all = OrderedJson::array();
  for (const BucketStats& bucket : stats.buckets) {
    const double tokens = static_cast<double>(bucket.bucket) * static_cast<double>(bucket.steps);
    all.push_back({{"tokens", bucket.bucket},
                   {"steps", bucket.steps},
                   {"milliseconds", bucket.seconds * 1e3},
                   {"padding_share", tokens > 0 ? static_cast<double>(bucket.padding_tokens) / tokens : 0}});
  }
  return all;
}

// Means over each interval; the last one ends with the last step.
OrderedJson time_series(const StepSeries& series, bool speculates) {
  const double interval = series.interval_seconds();
  OrderedJson prefill = OrderedJson::array(), decode = prefill, sequences = prefill, blocks = prefill;
  OrderedJson drafts = prefill, accepted = prefill;
  for (size_t i = 0; i < series.points().size(); ++i) {
    const double length = std::min(interval, series.seconds() - static_cast<double>(i) * interval);
    if (length <= 0) break;
    const StepSeries::Point& point = series.points()[i];
    const auto mean = [length](double sum) { return std::round(sum / length * 1e3) / 1e3; };
    prefill.push_back(mean(point.prefill_tokens));
    decode.push_back(mean(point.decode_tokens));
    sequences.push_back(mean(point.sequence_seconds));
    blocks.push_back(mean(point.block_seconds));
    drafts.push_back(mean(point.drafts));
    accepted.push_back(mean(point.accepted_drafts));
  }
  OrderedJson all = {{"interval_seconds", interval},
                     {"seconds", series.seconds()},
                     {"prefill_tokens_per_second", std::move(prefill)},
                     {"decode_tokens_per_second", std::move(decode)},
                     {"sequences", std::move(sequences)},
                     {"kv_blocks", std::move(blocks)}};
  if (!speculates) return all;
  all["drafts_per_second"] = std::move(drafts);
  all["accepted_drafts_per_second"] = std::move(accepted);
  return all;
}

// VmHWM, which unlike getrusage's figure starts anew with the program. 0 where there is no /proc.
int64_t peak_host_bytes() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);)
    if (line.starts_with("VmHWM:")) return std::stoll(line.substr(6)) * 1024;
  return 0;
}

OrderedJson model_memory(const ModelMemory& memory) {
  return {{"weight_bytes", memory.weight_bytes},         {"rope_bytes", memory.rope_bytes},
          {"activation_bytes", memory.activation_bytes}, {"step_bytes", memory.step_bytes},
          {"graph_bytes", memory.graph_bytes},           {"kv_bytes", memory.kv_bytes},
          {"kv_block_bytes", memory.kv_block_bytes}};
}

OrderedJson memory(const MemoryPlan& plan, int64_t peak) {
  OrderedJson all = {{"available_bytes", plan.available_bytes}};
  all.update(model_memory(plan));
  if (plan.draft) all["draft"] = model_memory(*plan.draft);
  all.update({{"workspace_bytes", plan.workspace_bytes},
              {"total_bytes", plan.total_bytes()},
              {"left_over_bytes", plan.left_over_bytes()},
              {"max_batch", plan.max_batch},
              {"max_step_tokens", plan.max_step_tokens}});
  return {{"plan", std::move(all)}, {"peak_host_bytes", peak}};
}

WorkInput work_input(const ReportInput& input, const EngineStats& stats) {
  WorkInput work{stats, input.times, input.after.roofline, input.run_seconds, input.engine_config.replicas};
  if (work.roofline) work.roofline = roofline_for(*work.roofline, input.fleet->memory_plan().weight_bytes);
  return work;
}

void add_work(OrderedJson& report, const WorkInput& work, const ReportInput& input) {
  if (const std::optional<Roofline>& roof = input.after.roofline)
    report["roofline"] = {{"flops_per_second", roof->flops},
                          {"memory_bytes_per_second", roof->memory_bytes},
                          {"cache_bytes_per_second", roof->cache_bytes}};
  report["work"] = report_work(work);
  report["steps"] = report_steps(work);
  report["head_buckets"] = report_head_buckets(work.stats);
  if (input.engine_config.profile_ops) report["profile"] = report_profile(work);
}

void add_engine(OrderedJson& report, const ReportInput& input) {
  const EngineStats stats = input.fleet->stats();
  const MemoryPlan& plan = input.fleet->memory_plan();
  report["tokens"]["prefill_computed"] = stats.prefill_tokens;
  report["tokens"]["decode_computed"] = stats.decode_tokens;
  // Of the steps that hold any prefill, and of those that only decode; sampling included.
  const double prefill = stats.prefill_step_seconds, decode = stats.decode_step_seconds;
  if (prefill > 0) report["rates"]["prefill_tokens_per_second"] = per_second(stats.prefill_step_tokens, prefill);
  if (decode > 0) report["rates"]["decode_tokens_per_second"] = per_second(stats.decode_step_tokens, decode);
  report["device"].update(report_idle(stats));
  report["device"]["loop_seconds"] = stats.loop_seconds;
  report["device"]["steps"] = stats.scheduler.steps;
  report["device"]["steps_in_flight"] = input.engine_config.steps_in_flight;
  report["device"]["graphs"] = stats.graphs;
  if (stats.first_token_at > 0)
    report["seconds"]["process_start_to_first_token"] = stats.first_token_at - process_start_seconds();
  report["graphs"] = {{"capture_seconds", input.times.seconds(Stage::capture_graphs)}, {"bytes", stats.graph_bytes}};
  report["limits"] = {
      {"max_batch", plan.max_batch}, {"max_step_tokens", plan.max_step_tokens}, {"max_context", plan.max_context}};
  const bool speculates = input.engine_config.speculation != Speculation::off;
  report["time_series"] = time_series(stats.series, speculates);
  report["buckets"] = buckets(stats);
  const std::vector<int64_t> blocks = input.fleet->replica_blocks();
  report["kv"] = {{"block_size", plan.block_size},
                  {"blocks", std::accumulate(blocks.begin(), blocks.end(), int64_t{0})},
                  {"peak_used_blocks", stats.scheduler.peak_used_blocks},
                  {"prompt_tokens", stats.scheduler.prompt_tokens},
                  {"prefix_hit_tokens", stats.scheduler.cached_tokens},
                  {"preemptions", stats.scheduler.preemptions},
                  {"recomputed_tokens", stats.scheduler.recomputed_tokens},
                  {"block_copies", stats.scheduler.block_copies}};
  if (speculates) report["speculation"] = report_speculation(stats.scheduler.speculation);
  report["memory"] = memory(plan, input.after.peak_host_bytes);
  if (input.engine_config.replicas > 1) report["replicas"] = report_replicas(*input.fleet);
  add_work(report, work_input(input, stats), input);
}

}  // namespace

AfterRun measure_after_run(Fleet* fleet) {
  AfterRun after{peak_host_bytes(), {}};
  if (!fleet) return after;
  try {
    after.roofline = fleet->measure_roofline();
  } catch (const Error& error) {
    std::fprintf(stderr, "penstock: the report has no roofline: %s\n", error.what());
  }
  return after;
}

OrderedJson make_report(const ReportInput& input) {
  const RunStats& stats = input.stats;
  OrderedJson report;
  report["schema_version"] = kSchemaVersion;
  report["command"] = input.command;
  report["model"] = input.model;
  report["architecture"] = input.config.architecture;
  report["device"] = {{"kind", input.engine_config.device == DeviceKind::cuda ? "cuda" : "cpu"},
                      {"dtype", dtype_name(input.engine_config.dtype)},
                      {"tensor_parallel", input.engine_config.tensor_parallel},
                      {"replicas", input.engine_config.replicas},
                      {"threads", input.engine_config.threads}};
  if (input.engine_config.device == DeviceKind::cuda) report["device"]["devices"] = input.engine_config.devices;
  if (input.fleet && !input.fleet->layout().why.empty()) report["device"]["layout"] = input.fleet->layout().why;
  report["exit_code"] = input.exit_code;
  report["seconds"] = {{"wall", input.wall_seconds}, {"load", input.load_seconds}, {"run", input.run_seconds}};
  if (stats.first_record_seconds > 0) report["seconds"]["first_record"] = stats.first_record_seconds;
  report["requests"] = {{"lines", stats.lines},
                        {"answered", stats.answered},
                        {"errors", stats.errors},
                        {"already_answered", stats.already_answered},
                        {"other_shards", stats.other_shards}};
  report["error_codes"] = stats.error_codes;
  report["tokens"] = {{"prompt", stats.prompt_tokens}, {"completion", stats.completion_tokens}};
  report["rates"] = {{"requests_per_second", per_second(stats.answered, input.run_seconds)},
                     {"completion_tokens_per_second", per_second(stats.completion_tokens, input.run_seconds)}};
  report["latency_seconds"] = {{"queue", latency(stats.queue)},
                               {"first_token", latency(stats.first_token)},
                               {"per_output_token", latency(stats.per_output_token)}};
  report["stages"] = stages(input.times);
  if (input.fleet) add_engine(report, input);
  return report;
}

std::string format_summary(const ReportInput& input) {
  const RunStats& stats = input.stats;
  char line[400];
  std::snprintf(line, sizeof line,
                "penstock: %lld answered, %lld errors, %lld answered before; %.1f s, of it %.1f s loading\n",
                static_cast<long long>(stats.answered), static_cast<long long>(stats.errors),
                static_cast<long long>(stats.already_answered), input.wall_seconds, input.load_seconds);
  std::string text = line;
  if (!input.fleet) return text;
  text += format_layout(*input.fleet);
  if (stats.answered == 0) return text;
  const EngineStats engine = input.fleet->stats();
  std::snprintf(
      line, sizeof line,
      "penstock: %lld prompt and %lld completion tokens; prefill %.0f, decode %.0f, whole run %.0f new tokens/s\n",
      static_cast<long long>(stats.prompt_tokens), static_cast<long long>(stats.completion_tokens),
      per_second(engine.prefill_step_tokens, engine.prefill_step_seconds),
      per_second(engine.decode_step_tokens, engine.decode_step_seconds),
      per_second(stats.completion_tokens, input.run_seconds));
  text += line;
  std::snprintf(line, sizeof line,
                "penstock: first token p50 %.3f s, p99 %.3f s; then a token each p50 %.1f ms, p99 %.1f ms\n",
                stats.first_token.percentile(0.5), stats.first_token.percentile(0.99),
                stats.per_output_token.percentile(0.5) * 1e3, stats.per_output_token.percentile(0.99) * 1e3);
  text += line;
  if (engine.first_token_at > 0) {
    std::snprintf(line, sizeof line, "penstock: from the start of the process to the first token %.2f s\n",
                  engine.first_token_at - process_start_seconds());
    text += line;
  }
  text += format_speculation(engine.scheduler.speculation);
  return text + format_profile(work_input(input, engine));
}

}  // namespace penstock
