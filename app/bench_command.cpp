// `penstock bench`: a workload that is the same every time, without text and without files.
#include <algorithm>
#include <cstdio>
#include <memory>
#include <optional>
#include <random>

#include "app/bench_all_reduce.h"
#include "app/bench_ops.h"
#include "app/commands.h"
#include "app/draft_model.h"
#include "app/flags.h"
#include "app/report.h"
#include "app/text_side.h"
#include "engine/fleet.h"

namespace penstock {

namespace {

struct Options {
  std::string model;
  EngineFlags engine;
  int64_t input_tokens = 512, output_tokens = 128, requests = 64;
  int64_t shared_prefix_tokens = 0;
  SamplingParams sampling;
  ReportFiles reports;
  std::optional<float> acceptance;
  bool ops = false, all_reduce = false;

  Options() { sampling.temperature = 0; }
  int64_t prompt_tokens() const { return shared_prefix_tokens + input_tokens; }
};

std::vector<SequenceInput> make_workload(const Options& options, int64_t vocab) {
  std::mt19937_64 random(20250101);  // any fixed number; % and not a distribution, which differs between libraries
  const auto append = [&](std::vector<int32_t>& ids, int64_t count) {
    for (int64_t i = 0; i < count; ++i) ids.push_back(static_cast<int32_t>(random() % static_cast<uint64_t>(vocab)));
  };
  std::vector<int32_t> shared;
  append(shared, options.shared_prefix_tokens);
  std::vector<SequenceInput> workload(static_cast<size_t>(options.requests));
  for (size_t i = 0; i < workload.size(); ++i) {
    SequenceInput& input = workload[i];
    input.tag = input.request = i;
    input.prompt = shared;
    append(input.prompt, options.input_tokens);
    input.sampling = options.sampling;
    input.sampling.seed = i;
    input.stop.max_tokens = static_cast<int32_t>(options.output_tokens);  // no stop ids: EOS is ignored
  }
  return workload;
}

void run_workload(Fleet& fleet, std::vector<SequenceInput> workload, RunStats& stats) {
  const auto count = static_cast<int64_t>(workload.size());
  stats.lines = count;
  for (SequenceInput& input : workload) {
    stats.prompt_tokens += static_cast<int64_t>(input.prompt.size());
    fleet.add(std::move(input));
  }
  while (stats.handled() < count) {
    for (const SequenceOutput& output : fleet.take_finished(std::chrono::milliseconds(1000))) {
      if (output.reason == FinishReason::error) throw Error(ExitCode::usage, "a request cannot run: " + output.error);
      stats.add(output);
      stats.completion_tokens += static_cast<int64_t>(output.tokens.size());
      ++stats.answered;
    }
  }
}

// A draft model that nobody says how to use is for drafting.
EngineConfig resolved_engine(const Options& options) {
  EngineFlags flags = options.engine;
  if (!flags.speculation && !flags.draft_model.empty()) flags.speculation = Speculation::draft;
  EngineConfig config = flags.resolved();
  config.table_agreement = options.acceptance.value_or(-1);
  return config;
}

ExitCode run(const Options& options) {
  const double start = monotonic_seconds();
  options.engine.warm_up();
  EngineConfig config = resolved_engine(options);
  const ModelFolder folder = read_model_folder(options.model, ModelFiles::shape);
  const ModelConfig model = parse_model_config(folder.config, folder.generation_config, folder.path);
  if (options.all_reduce) {
    bench_all_reduce(config);
    return ExitCode::ok;
  }
  const int64_t context = resolve_max_context(config, model);
  if (options.ops) {
    bench_ops(model, config);
    return ExitCode::ok;
  }
  if (options.prompt_tokens() + options.output_tokens > context)
    throw Error(ExitCode::usage, "the tokens of a request exceed the context of " + std::to_string(context));
  check_report_files(options.reports);
  const auto draft = read_draft_model(options.engine.draft_model, folder, ModelFiles::shape);
  config.random_weights = !has_weights(folder.path) || (draft && !has_weights(draft->path));
  if (config.random_weights) std::fprintf(stderr, "penstock: no weight files, so the weights are random\n");

  StageTimes times;
  Fleet fleet(folder, model, config, times, draft);
  const double loaded = monotonic_seconds();
  std::fputs(format_memory_plan(fleet.memory_plan()).c_str(), stderr);
  RunStats stats;
  const int64_t vocab = draft ? std::min(model.vocab, draft->model.vocab) : model.vocab;
  run_workload(fleet, make_workload(options, vocab), stats);
  const double end = monotonic_seconds();
  const bool measures = options.reports.wanted() || config.profile_ops;
  const ReportInput input{"bench",     options.model,  stats,  times,
                          model,       fleet.config(), &fleet, loaded - start,
                          end - start, end - loaded,   0,      measures ? measure_after_run(&fleet) : AfterRun{}};
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
  const auto add = [&](const std::string& name, auto& target, double low, double high, const std::string& help) {
    return command->add_option(name, target, help)->capture_default_str()->check(between(low, high))->type_name("N");
  };
  add("--input-tokens", options->input_tokens, 1, 1 << 24, "tokens of each prompt");
  add("--output-tokens", options->output_tokens, 1, 1 << 24, "new tokens of each request");
  add("--requests", options->requests, 1, 1 << 24, "how many");
  add("--shared-prefix-tokens", options->shared_prefix_tokens, 0, 1 << 24, "the same tokens before each prompt");
  add("--temperature", options->sampling.temperature, 0, 100, "0: greedy");
  add("--top-p", options->sampling.top_p, 0, 1, "nucleus sampling's probability mass");
  add("--top-k", options->sampling.top_k, 0, 1 << 30, "most likely tokens to draw from, 0: all");
  add_flags(*command, options->engine);
  command->add_option("--batch", options->engine.max_batch, "the same as --max-batch")
      ->check(between(1, 65536))
      ->type_name("N")
      ->excludes("--max-batch");
  add_speculation_flags(*command, options->engine, "--draft-model,--draft-shape");
  command
      ->add_option("--acceptance", options->acceptance,
                   "in place of what the weights draw, tokens come from a table that the draft model agrees with at "
                   "this rate")
      ->check(between(0, 1))
      ->type_name("N");
  add_profile_flag(*command, options->engine);
  add_flags(*command, options->reports);
  command->add_flag("--ops", options->ops, "time each op alone against the machine's roofline, not the workload");
  command->add_flag("--all-reduce", options->all_reduce, "time the sums of ranks, not the workload")->group("");
  command->final_callback([options, &chosen] { chosen = [options] { return run(*options); }; });
}

}  // namespace penstock
