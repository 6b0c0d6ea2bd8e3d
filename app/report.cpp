#include "app/report.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <initializer_list>

#include "app/output_file.h"
#include "engine/system_call.h"

namespace penstock {

namespace {

constexpr int kSchemaVersion = 1;

double per_second(int64_t count, double seconds) { return seconds > 0 ? static_cast<double>(count) / seconds : 0; }

OrderedJson latency(const Histogram& histogram) {
  return {{"count", histogram.count()},       {"mean", histogram.mean()},          {"p50", histogram.percentile(0.5)},
          {"p90", histogram.percentile(0.9)}, {"p99", histogram.percentile(0.99)}, {"max", histogram.max()}};
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

// VmHWM, which unlike getrusage's figure starts anew with the program. 0 where there is no /proc.
int64_t peak_host_bytes() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);)
    if (line.starts_with("VmHWM:")) return std::stoll(line.substr(6)) * 1024;
  return 0;
}

OrderedJson memory(const MemoryPlan& plan) {
  return {{"plan",
           {{"available_bytes", plan.available_bytes},
            {"weight_bytes", plan.weight_bytes},
            {"rope_bytes", plan.rope_bytes},
            {"activation_bytes", plan.activation_bytes},
            {"step_bytes", plan.step_bytes},
            {"kv_bytes", plan.kv_bytes},
            {"total_bytes", plan.total_bytes()}}},
          {"peak_host_bytes", peak_host_bytes()}};
}

void add_engine(OrderedJson& report, const ReportInput& input) {
  const EngineStats stats = input.engine->stats();
  const MemoryPlan& plan = input.engine->memory_plan();
  report["tokens"]["prefill_computed"] = stats.prefill_tokens;
  report["tokens"]["decode_computed"] = stats.decode_tokens;
  // Of the steps that hold any prefill, and of those that only decode; sampling included.
  const double prefill = stats.prefill_step_seconds, decode = stats.decode_step_seconds;
  if (prefill > 0) report["rates"]["prefill_tokens_per_second"] = per_second(stats.prefill_step_tokens, prefill);
  if (decode > 0) report["rates"]["decode_tokens_per_second"] = per_second(stats.decode_step_tokens, decode);
  if (stats.loop_seconds > 0) report["device"]["idle_share"] = 1 - stats.busy_seconds / stats.loop_seconds;
  report["device"]["busy_seconds"] = stats.busy_seconds;
  report["device"]["steps"] = stats.scheduler.steps;
  report["device"]["graphs"] = stats.graphs;
  report["buckets"] = buckets(stats);
  report["kv"] = {{"block_size", plan.block_size},
                  {"blocks", plan.kv_blocks},
                  {"peak_used_blocks", stats.scheduler.peak_used_blocks},
                  {"prompt_tokens", stats.scheduler.prompt_tokens},
                  {"prefix_hit_tokens", stats.scheduler.cached_tokens},
                  {"preemptions", stats.scheduler.preemptions},
                  {"recomputed_tokens", stats.scheduler.recomputed_tokens},
                  {"block_copies", stats.scheduler.block_copies}};
  report["memory"] = memory(plan);
}

int open_report(const std::string& path, int flags) {
  return uninterrupted([&] { return ::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC | O_NOCTTY | flags, 0666); });
}

}  // namespace

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
                      {"threads", input.engine_config.threads}};
  report["exit_code"] = input.exit_code;
  report["seconds"] = {{"wall", input.wall_seconds}, {"load", input.load_seconds}, {"run", input.run_seconds}};
  if (stats.first_record_seconds > 0) report["seconds"]["first_record"] = stats.first_record_seconds;
  report["requests"] = {{"lines", stats.lines},
                        {"answered", stats.answered},
                        {"errors", stats.errors},
                        {"already_answered", stats.already_answered},
                        {"other_shards", stats.other_shards}};
  report["tokens"] = {{"prompt", stats.prompt_tokens}, {"completion", stats.completion_tokens}};
  report["rates"] = {{"requests_per_second", per_second(stats.answered, input.run_seconds)},
                     {"completion_tokens_per_second", per_second(stats.completion_tokens, input.run_seconds)}};
  report["latency_seconds"] = {{"queue", latency(stats.queue)},
                               {"first_token", latency(stats.first_token)},
                               {"per_output_token", latency(stats.per_output_token)}};
  report["stages"] = stages(input.times);
  if (input.engine) add_engine(report, input);
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
  if (!input.engine || stats.answered == 0) return text;
  const EngineStats engine = input.engine->stats();
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
  return text + line;
}

void check_report_path(const std::string& path) {
  const int descriptor = open_report(path, 0);
  if (descriptor < 0) throw Error(ExitCode::cannot_create, "--report: " + path + ": " + std::strerror(errno));
  ::close(descriptor);
}

void write_report(const OrderedJson& report, const std::string& path) {
  const std::string text = report.dump(2, ' ', false, OrderedJson::error_handler_t::replace) + "\n";
  const int descriptor = open_report(path, O_TRUNC);
  if (descriptor < 0) throw Error(ExitCode::io, "--report: " + path + ": " + std::strerror(errno));
  int error_number = write_all(descriptor, text.data(), text.size(), {});
  const auto note = [&](int result, std::initializer_list<int> harmless) {
    const bool is_harmless = std::find(harmless.begin(), harmless.end(), errno) != harmless.end();
    if (result != 0 && error_number == 0 && !is_harmless) error_number = errno;
  };
  note(uninterrupted([&] { return ::fsync(descriptor); }), {EINVAL, EROFS, ENOTSUP});  // pipes and devices
  note(::close(descriptor), {EINTR});
  if (error_number != 0) throw Error(ExitCode::io, "--report: " + path + ": " + std::strerror(error_number));
}

}  // namespace penstock
