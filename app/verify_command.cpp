// `penstock verify`: the fast arithmetic beside the reference, tensor by tensor.
#include <cstdio>
#include <memory>

#include "app/commands.h"
#include "app/flags.h"
#include "engine/model/model_folder.h"
#include "engine/model/safetensors_file.h"
#include "engine/model/weights.h"
#include "engine/step/verify.h"

namespace penstock {

namespace {

struct Options {
  std::string model;
  EngineFlags engine;
};

std::string side_name(const EngineConfig& config) {
  return std::string(config.device == DeviceKind::cuda ? "CUDA" : "CPU") + " " + dtype_name(config.dtype);
}

void print_table(const VerifyReport& report) {
  std::printf("%-11s %12s %12s   %s\n", "tensor", "worst error", "its bound", "where");
  for (const TensorError& worst : report.worst)
    std::printf("%-11s %12.2e %12.2e   %s, step %lld\n", worst.name.substr(worst.name.rfind('.') + 1).c_str(),
                worst.error, worst.bound, worst.name.c_str(), static_cast<long long>(worst.step));
  std::printf("%lld tensors in %lld steps are within their bounds\n", static_cast<long long>(report.tensors),
              static_cast<long long>(report.steps));
  std::printf("the largest logit is the same in %lld of %lld rows\n", static_cast<long long>(report.argmax_equal),
              static_cast<long long>(report.logit_rows));
}

ExitCode run(const Options& options) {
  const ModelFolder folder = read_model_folder(options.model, ModelFiles::shape);
  ModelConfig model = parse_model_config(folder.config, folder.generation_config, folder.path);
  const SafetensorsFolder files(folder.path);
  model.checkpoint_dtype = checkpoint_dtype(files);

  EngineConfig reference = options.engine.resolved(), tested = reference;
  reference.device = DeviceKind::cpu;
  reference.dtype = DType::f32;
  tested.dtype = options.engine.dtype.value_or(DType::bf16);
  const VerifyReport report = verify(model, &files, reference, tested);
  std::printf("%s against %s\n", side_name(tested).c_str(), side_name(reference).c_str());
  if (!report.first_beyond) {
    print_table(report);
    return ExitCode::ok;
  }
  const TensorError& first = *report.first_beyond;
  std::printf("%s differs in step %lld: relative error %.2e, bound %.2e; the %lld tensors before it agree\n",
              first.name.c_str(), static_cast<long long>(first.step), first.error, first.bound,
              static_cast<long long>(report.tensors - 1));
  return ExitCode::internal;
}

}  // namespace

void add_verify_command(CLI::App& app, Command& chosen) {
  auto options = std::make_shared<Options>();
  CLI::App* command =
      app.add_subcommand("verify", "compare every intermediate tensor with the CPU's f32; 70 when one is too far off");
  command->add_option("MODEL", options->model, "a Hugging Face model folder")->required();
  add_flags(*command, options->engine);
  command->final_callback([options, &chosen] { chosen = [options] { return run(*options); }; });
}

}  // namespace penstock
