// `penstock run`: lines in, answers out. Reads as the stages of design.md §1.
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "app/commands.h"
#include "app/cpu_limit.h"
#include "app/draft_model.h"
#include "app/fingerprint.h"
#include "app/input_file.h"
#include "app/report.h"
#include "app/run_loop.h"
#include "app/run_outputs.h"

namespace penstock {

namespace {

struct Options {
  ModelFlags model;
  EngineFlags engine;
  SamplingFlags sampling;
  RunFlags run;
  ReportFlags report;
};

double unix_seconds() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

int text_threads() { return std::clamp(usable_cpus() / 4, 1, 8); }

class Run {
 public:
  explicit Run(const Options& options)
      : options_(options),
        engine_config_(options.engine.resolved()),
        input_(options.run.input),
        deadline_(find_deadline(options.run.deadline, std::getenv, start_, monotonic_seconds(), unix_seconds())) {}

  ExitCode execute() {
    read_model_files();
    RunOutputs outputs(options_.run, options_.report.files, input_, model_files_);
    // A fresh job needs the engine for certain: it loads while the tokenizer does.
    if (outputs.journal().records() == 0) load_engine();
    const TextSide side(folder_, config_, options_.model, options_.sampling, max_context_);

    stats_.earlier_errors = outputs.journal().errors();
    if (input_.is_regular() && outputs.journal().records() > 0) {
      const auto unanswered = outputs.count_unanswered(input_, intake(side, outputs), [this] {
        return signals_.count() > 0 || monotonic_seconds() >= deadline_.last_answer();
      });
      if (!unanswered) return finish(ExitCode::stopped_early);
    }
    outputs.begin();
    if (!loader_) load_engine();
    signals_.exit_at_second(false);
    try {
      return answer(side, outputs);
    } catch (...) {
      keep_what_is_written(outputs);
      if (loader_->failed()) leave_failed_fleet(std::current_exception());
      throw;
    }
  }

 private:
  Intake intake(const TextSide& side, RunOutputs& outputs) {
    return Intake(side, fingerprint_, options_.run.shard, &outputs.journal());
  }

  // What went wrong first is the message.
  static void keep_what_is_written(RunOutputs& outputs) {
    try {
      outputs.sync();
    } catch (const Error&) {
    }
  }

  void read_model_files() {
    folder_ = read_model_folder(options_.model.model);
    config_ = parse_model_config(folder_.config, folder_.generation_config, folder_.path);
    max_context_ = resolve_max_context(engine_config_, config_);
    const SafetensorsFolder weights(folder_.path);
    fingerprint_ = run_fingerprint(folder_, weights, options_.model, options_.sampling, engine_config_, max_context_);
    add_model_files(folder_.path, weights);
    draft_ = read_draft_model(options_.engine.draft_model, folder_);
    if (draft_) add_model_files(draft_->path, SafetensorsFolder(draft_->path));
  }

  void add_model_files(const std::string& folder, const SafetensorsFolder& weights) {
    for (const char* name : kModelFileNames) model_files_.push_back(folder + "/" + name);
    for (const auto& file : weights.files()) model_files_.push_back(file.path);
  }

  void load_engine() {
    loader_ = std::make_unique<EngineLoader>(folder_, config_, engine_config_, times_, draft_,
                                             [wake = wake_] { wake->notify(); });
  }

  ExitCode answer(const TextSide& side, RunOutputs& outputs) {
    InputReader reader(input_, static_cast<uint64_t>(side.limits.max_line_bytes));
    Intake lines = intake(side, outputs);
    TextWorkers workers(text_threads(), side, *times_, *wake_, options_.run.timings);
    RecordWriter writer(outputs.output(), outputs.errors(), options_.run.ordered, *times_);
    Progress progress(options_.report.progress, input_.bytes());
    for (OutputFile* file : {&outputs.output(), outputs.errors()})
      if (file) file->give_up_when([this] { return out_of_time(); });
    RunLoop loop({reader, lines, workers, *loader_, writer, signals_, *wake_, progress, stats_, *times_,
                  options_.run.grace_seconds, deadline_, start_},
                 run_limits(engine_config_), items_);
    const RunEnd end = loop.run();
    if (end != RunEnd::answered && loop.deadline_came())
      std::fputs("penstock: stopped for the deadline; the same command continues\n", stderr);
    outputs.sync();
    if (end == RunEnd::answered) {
      outputs.expect_all_ids_seen();
      expect_every_line_answered(writer);
    }
    outputs.close();
    signals_.exit_at_second(true);
    if (end != RunEnd::answered) return leave(end);
    return finish(stats_.errors + stats_.earlier_errors > 0 ? ExitCode::some_records_failed : ExitCode::ok);
  }

  ExitCode leave(RunEnd end) {
    const ExitCode code = finish(ExitCode::stopped_early);
    if (end == RunEnd::stopped) return code;
    leave_at_once(code);  // sequences are still running: waiting for a step may be what was refused
  }

  // A rank may never return, so nobody waits for any. What failed under the run may go well another time, as long as
  // each time gets somewhere.
  [[noreturn]] void leave_failed_fleet(std::exception_ptr failure) const {
    ExitCode code = ExitCode::internal;
    std::string message, goes_on;
    try {
      std::rethrow_exception(failure);
    } catch (const DeviceFault& fault) {
      code = fault.code() == ExitCode::internal && stats_.written > 0 ? ExitCode::stopped_early : fault.code();
      message = fault.what();
    } catch (const Error& error) {
      code = error.code();
      message = error.what();
    } catch (const std::exception& error) {
      message = error.what();
    }
    if (code == ExitCode::stopped_early) goes_on = "; what was finished is kept, and the same command continues";
    std::fprintf(stderr, "penstock: %s%s\n", message.c_str(), goes_on.c_str());
    leave_at_once(code);
  }

  [[noreturn]] static void leave_at_once(ExitCode code) {
    std::fflush(nullptr);
    ::_exit(static_cast<int>(code));
  }

  bool out_of_time() const {
    const double first = signals_.first_seconds();
    const double now = monotonic_seconds();
    return signals_.count() > 1 || (first > 0 && now >= first + options_.run.grace_seconds) ||
           now >= deadline_.last_answer();
  }

  void expect_every_line_answered(const RecordWriter& writer) const {
    const int64_t wanted = stats_.lines - stats_.other_shards;
    if (stats_.handled() == wanted && writer.written() == stats_.answered + stats_.errors) return;
    throw Error(ExitCode::internal, "of " + std::to_string(wanted) + " lines, " + std::to_string(stats_.handled()) +
                                        " were handled and " + std::to_string(writer.written()) + " records written");
  }

  // A run that was told to stop measures nothing: its sequences may still run, and its time is short.
  AfterRun after_run(Fleet* fleet, ExitCode code) const {
    const bool wanted = options_.report.files.wanted() || engine_config_.profile_ops;
    return wanted ? measure_after_run(code == ExitCode::stopped_early ? nullptr : fleet) : AfterRun{};
  }

  ExitCode finish(ExitCode code) {
    Fleet* fleet = loader_ ? loader_->get() : nullptr;
    const double load = loader_ ? loader_->load_seconds() : 0, wall = monotonic_seconds() - start_;
    const ReportInput input{"run",
                            options_.model.model,
                            stats_,
                            *times_,
                            config_,
                            fleet ? fleet->config() : engine_config_,
                            fleet,
                            load,
                            wall,
                            wall - load,
                            static_cast<int>(code),
                            after_run(fleet, code)};
    std::fputs(format_summary(input).c_str(), stderr);
    write_reports(input, options_.report.files);
    return code;
  }

  const Options& options_;
  const EngineConfig engine_config_;
  const double start_ = monotonic_seconds();
  StopSignals signals_;
  InputFile input_;
  ModelFolder folder_;
  std::vector<std::string> model_files_;  // paths, whether they exist or not
  ModelConfig config_;
  std::optional<DraftFolder> draft_;
  int32_t max_context_ = 0;
  RunFingerprint fingerprint_;
  std::shared_ptr<StageTimes> times_ = std::make_shared<StageTimes>();
  std::shared_ptr<WakeUp> wake_ = std::make_shared<WakeUp>();
  RunStats stats_;
  const Deadline deadline_;
  RunLoop::Items items_;                  // what the engine's sequences refer to: ends after it
  std::unique_ptr<EngineLoader> loader_;  // last
};

}  // namespace

void add_run_command(CLI::App& app, Command& chosen) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("run", "answer the requests of a JSONL file");
  add_flags(*command, options->model);
  add_flags(*command, options->run);
  add_flags(*command, options->sampling);
  add_flags(*command, options->engine);
  add_speculation_flags(*command, options->engine);
  add_flags(*command, options->report);
  add_profile_flag(*command, options->engine);
  command->final_callback([options, &chosen] {
    chosen = [options] {
      options->engine.warm_up();
      return Run(*options).execute();
    };
  });
}

}  // namespace penstock
