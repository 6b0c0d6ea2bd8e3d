// What the user says on the command line, validated; every subcommand takes the groups of flags that it needs.
#pragma once
#include <CLI/CLI.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "app/request.h"
#include "engine/engine_config.h"

namespace penstock {

enum class ProgressMode { automatic, bar, log, none };

struct Shard {
  int64_t index = 0, count = 1;
  bool takes(int64_t line) const { return (line - 1) % count == index; }
};

struct ModelFlags {
  std::string model;          // a Hugging Face model folder
  std::string chat_template;  // the text of --chat-template FILE; empty: the folder's
  bool literal_special_tokens = false;
};

struct SamplingFlags {
  RequestDefaults defaults;  // `generation` is filled in when the folder is read
  uint64_t seed = 0;
};

struct EngineFlags {
  EngineConfig config;                                // of what follows, what `resolved` says
  std::optional<DeviceKind> device;                   // absent: a GPU where there is one
  std::optional<DType> dtype;                         // absent: f32 on the CPU, bf16 on CUDA
  std::optional<int32_t> max_batch, max_step_tokens;  // absent: what suits the device
  std::optional<Speculation> speculation;             // absent: off
  std::string draft_model;                            // a folder; empty: none
  std::optional<int32_t> tensor_parallel, replicas;   // absent: as engine/step/layout.h says
  std::vector<int> devices;                           // GPUs; empty: all
  // Starts the GPUs that may be used, while other things are done. Once, and early.
  void warm_up() const;
  // Errors: Error(usage) where flags do not fit each other or the device.
  EngineConfig resolved() const;
};

struct RunFlags {
  std::string input = "-", output = "-";
  std::string errors;  // a second output, for error records; empty: none
  bool overwrite = false, ordered = false, retry_errors = false, timings = false;
  Shard shard;
  double grace_seconds = 20;
  std::string deadline;  // as app/deadline.h reads it
};

struct ReportFiles {  // empty: none
  std::string json, html;
  bool wanted() const { return !json.empty() || !html.empty(); }
};

struct ReportFlags {
  ReportFiles files;
  ProgressMode progress = ProgressMode::automatic;
};

// Each adds flags that write into `flags`, which must outlive the parsing.
void add_flags(CLI::App& command, ModelFlags& flags);
void add_flags(CLI::App& command, EngineFlags& flags);
void add_flags(CLI::App& command, SamplingFlags& flags);
void add_flags(CLI::App& command, RunFlags& flags);
void add_flags(CLI::App& command, ReportFiles& files);
void add_flags(CLI::App& command, ReportFlags& flags);

// Of commands that compute: --profile, into flags.config.
void add_profile_flag(CLI::App& command, EngineFlags& flags);

// Of commands that know the speculation: --speculate and --draft-model, which `names` may give more names.
void add_speculation_flags(CLI::App& command, EngineFlags& flags, const std::string& names = "--draft-model");

// A number in [low, high]; NaN is in no range.
CLI::Validator between(double low, double high);

}  // namespace penstock
