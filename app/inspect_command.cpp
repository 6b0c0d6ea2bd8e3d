// `penstock inspect`: what a model is and what memory it would take, without computing anything.
#include <algorithm>
#include <cstdio>
#include <map>
#include <memory>
#include <optional>

#include "app/commands.h"
#include "app/draft_model.h"
#include "app/flags.h"
#include "app/text_side.h"
#include "engine/model/safetensors_file.h"
#include "engine/model/weights.h"
#include "engine/step/layout.h"
#include "engine/step/memory_plan.h"

namespace penstock {

namespace {

struct Options {
  std::string model;
  EngineFlags engine;
};

void print_facts(const ModelConfig& model) {
  const auto row = [](const char* name, int64_t value) {
    std::printf("  %-12s %10lld\n", name, static_cast<long long>(value));
  };
  std::printf("%s\n", model.architecture.c_str());
  row("layers", model.layers);
  row("hidden", model.hidden);
  row("heads", model.heads);
  row("kv_heads", model.kv_heads);
  row("head_dim", model.head_dim);
  row("mlp", model.mlp);
  row("vocab", model.vocab);
  row("positions", model.max_positions);
  std::printf("  %-12s %10s\n", "embeddings", model.tied_embeddings ? "tied" : "untied");
}

// Counts and sizes by the dtype that the files spell.
void print_tensors(const SafetensorsFolder& files) {
  struct Sum {
    int64_t tensors = 0, parameters = 0;
    uint64_t bytes = 0;
  };
  std::map<std::string, Sum> by_dtype;
  for (const TensorInfo& tensor : files.tensors()) {
    Sum& sum = by_dtype[tensor.dtype_name];
    int64_t parameters = 1;
    for (const int64_t size : tensor.shape) parameters *= size;
    ++sum.tensors, sum.parameters += parameters, sum.bytes += tensor.bytes;
  }
  std::printf("weights in %zu file%s\n", files.files().size(), files.files().size() == 1 ? "" : "s");
  for (const auto& [dtype, sum] : by_dtype)
    std::printf("  %-12s %10lld tensors, %.1f million parameters, %.1f MiB\n", dtype.c_str(),
                static_cast<long long>(sum.tensors), static_cast<double>(sum.parameters) * 1e-6,
                static_cast<double>(sum.bytes) / (1 << 20));
}

// Facts and files of one model. Sets checkpoint_dtype to what they hold.
void print_model(ModelConfig& model, const std::string& folder) {
  print_facts(model);
  if (!has_weights(folder)) {
    std::printf("no weight files: the shape alone\n");
    return;
  }
  const SafetensorsFolder files(folder);
  model.checkpoint_dtype = checkpoint_dtype(files);
  print_tensors(files);
}

ExitCode run(const Options& options) {
  EngineConfig config = options.engine.resolved();
  const ModelFolder folder = read_model_folder(options.model, ModelFiles::shape);
  ModelConfig model = parse_model_config(folder.config, folder.generation_config, folder.path);
  resolve_max_context(config, model);
  print_model(model, folder.path);
  std::optional<DraftFolder> draft = read_draft_model(options.engine.draft_model, folder, ModelFiles::shape);
  if (draft) {
    std::printf("drafts by ");
    print_model(draft->model, draft->path);
  }
  const Layout layout = choose_layout(model, config, draft ? &draft->model : nullptr);
  config = with_layout(config, layout);
  const ShardPlan shard(model, 0, config.tensor_parallel);
  const auto backend = make_backend({.device = config.device,
                                     .index = config.device_of(0, 0),
                                     .dtype = config.dtype,
                                     .threads = 1,
                                     .kernels = config.kernels});
  std::optional<ShardPlan> draft_shard;
  std::optional<ModelShare> draft_share;
  if (draft)
    draft_share.emplace(draft->model, draft_shard.emplace(draft_shard_plan(draft->model, 0, config.tensor_parallel)));
  const MemoryPlan plan = plan_memory(model, config, shard, *backend, draft_share);
  if (config.num_ranks() > 1) {
    std::printf("replicas of %d rank%s: %d", config.tensor_parallel, config.tensor_parallel == 1 ? "" : "s",
                config.replicas);
    std::printf(layout.why.empty() ? "\n" : " (%s)\n", layout.why.c_str());
  }
  std::printf("memory of %s on %s, %s\n%s", config.num_ranks() == 1 ? "the run" : "each rank",
              config.device == DeviceKind::cuda ? "CUDA" : "the CPU", dtype_name(config.dtype),
              format_memory_plan(plan).c_str());
  return ExitCode::ok;
}

}  // namespace

void add_inspect_command(CLI::App& app, Command& chosen) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("inspect", "print a model's facts and the memory plan");
  command->add_option("MODEL", options->model, "a model folder; config.json is enough")->required();
  add_flags(*command, options->engine);
  add_speculation_flags(*command, options->engine);
  command->final_callback([options, &chosen] { chosen = [options] { return run(*options); }; });
}

}  // namespace penstock
