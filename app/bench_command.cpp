// `penstock bench`: a workload that is the same every time, without text and without files.
#include <cstdio>
#include <memory>
#include <random>

#include "app/bench_ops.h"
#include "app/commands.h"
#include "app/flags.h"
#include "app/report.h"
#include "app/text_side.h"
#include "engine/engine.h"

namespace penstock {

namespace {

struct Options {
  std::string model;
  EngineFlags engine;
  int64_t input_tokens = 512, output_tokens = 128, requests = 64;
  ReportFiles reports;
  bool ops = false;
};

std::vector<SequenceInput> make_workload(const Options& options, int64_t vocab) {
  std::mt19937_64 random(20250101);  // any fixed number; % and not a distribution, which differs between libraries
  std::vector<SequenceInput> workload(static_cast<size_t>(options.requests));
  for (size_t i = 0; i < workload.size(); ++i) {
    SequenceInput& input = workload[i];
    input.tag = input.request = i;
    for (int64_t token = 0; token < options.input_tokens; ++token)
      input.prompt.push_back(static_cast<int32_t>(random() % static_cast<uint64_t>(vocab)));
    input.sampling.temperature = 0;
    input.stop.max_tokens = static_cast<int32_t>(options.output_tokens);  // no stop ids: EOS is ignored
  }
  return workload;
}

void run_workload(Engine& engine, std::vector<SequenceInput> workload, RunStats& stats) {
  const auto count = static_cast<int64_t>(workload.size());
  stats.lines = count;
  for (SequenceInput& input : workload) {
    stats.prompt_tokens += static_cast<int64_t>(input.prompt.size());
    engine.add(std::move(input));
  }
  while (stats.handled() < count) {
    for (const SequenceOutput& output : engine.take_finished(std::chrono::milliseconds(1000))) {
      if (output.reason == FinishReason::error) throw Error(ExitCode::usage, "a request cannot run: " + output.error);
      stats.add(output);
      stats.completion_tokens += static_cast<int64_t>(output.tokens.size());
      ++stats.answered;
    }
  }
}

ExitCode run(const Options& options) {
  const double start = monotonic_seconds();
  EngineConfig config = options.engine.resolved();
  const ModelFolder folder = read_model_folder(options.model, ModelFiles::shape);
  const ModelConfig model = parse_model_config(folder.config, folder.generation_config, folder.path);
  const int64_t context = resolve_max_context(config, model);
  if (options.ops) {
    bench_ops(model, config);
    return ExitCode::ok;
  }
  if (options.input_tokens + options.output_tokens > context)
    throw Error(ExitCode::usage, "--input-tokens and --output-tokens exceed the context of " + std::to_string(context));
  check_report_files(options.reports);
  config.random_weights = !has_weights(folder.path);
  if (config.random_weights) std::fprintf(stderr, "penstock: no weight files, so the weights are random\n");

  StageTimes times;
  Engine engine(folder, model, config, times);
  const double loaded = monotonic_seconds();
  std::fputs(format_memory_plan(engine.memory_plan()).c_str(), stderr);
  RunStats stats;
  run_workload(engine, make_workload(options, model.vocab), stats);
  const double end = monotonic_seconds();
  const ReportInput input{"bench", options.model,  stats,       times,        model, config,
                          &engine, loaded - start, end - start, end - loaded, 0};
  std::fputs(format_summary(input).c_str(), stdout);
  write_reports(input, options.reports);
  return ExitCode::ok;
}

}  // namespace

void add_bench_command(CLI::App& app, Command& chosen) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("bench", "time a fixed workload of random tokens");
  command->add_option("MODEL", options->model, "a model folder; with config.json alone, the weights are random")
      ->required();
  const auto add = [&](const std::string& name, int64_t& target, const std::string& help) {
    command->add_option(name, target, help)->capture_default_str()->check(between(1, 1 << 24))->type_name("N");
  };
  add("--input-tokens", options->input_tokens, "tokens of each prompt");
  add("--output-tokens", options->output_tokens, "new tokens of each request");
  add("--requests", options->requests, "how many");
  add_flags(*command, options->engine);
  add_flags(*command, options->reports);
  command->add_flag("--ops", options->ops, "time each op alone against the machine's roofline, not the workload");
  command->final_callback([options, &chosen] { chosen = [options] { return run(*options); }; });
}

}  // namespace penstock
