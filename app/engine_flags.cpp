// What the engine's flags come to on this machine.
#include <algorithm>
#include <cstdio>
#include <numeric>
#include <thread>

#include "app/flags.h"
#include "engine/step/layout.h"

namespace penstock {
namespace {

constexpr int32_t kGpuBatch = 1024, kGpuStepTokens = 8192;

std::vector<int> all_gpus() {
  std::vector<int> all(static_cast<size_t>(num_gpus()));
  std::iota(all.begin(), all.end(), 0);
  return all;
}

void warn_of_shared_gpus(std::vector<int> devices) {
  std::sort(devices.begin(), devices.end());
  const auto twice = std::adjacent_find(devices.begin(), devices.end());
  if (twice != devices.end())
    std::fprintf(stderr, "penstock: --devices names GPU %d more than once: that is for tests, and slow\n", *twice);
}

Speculation resolved_speculation(const EngineFlags& flags) {
  const Speculation speculation = flags.speculation.value_or(Speculation::off);
  const bool may_draft = speculation == Speculation::draft || speculation == Speculation::automatic;
  if (!flags.draft_model.empty() && !may_draft)
    throw Error(ExitCode::usage, "--draft-model: only --speculate draft and auto use one");
  if (flags.draft_model.empty() && speculation == Speculation::draft)
    throw Error(ExitCode::usage, "--speculate draft: needs the folder of a --draft-model");
  if (flags.config.fixed_drafts >= 0 && speculation == Speculation::off)
    throw Error(ExitCode::usage, "--drafts: only with --speculate");
  return speculation;
}

}  // namespace

void EngineFlags::warm_up() const {
  if (device.value_or(DeviceKind::cuda) != DeviceKind::cuda) return;
  // Counting them takes the driver's start already.
  std::thread([named = devices] {
    for (int index : named.empty() ? all_gpus() : named) warm_up_gpu(index);
  }).detach();
}

EngineConfig EngineFlags::resolved() const {
  EngineConfig resolved = config;
  resolved.device = device.value_or(num_gpus() > 0 ? DeviceKind::cuda : DeviceKind::cpu);
  const bool on_gpu = resolved.device == DeviceKind::cuda;
  resolved.dtype = dtype.value_or(on_gpu ? DType::bf16 : DType::f32);
  resolved.max_batch = max_batch.value_or(on_gpu ? kGpuBatch : config.max_batch);
  resolved.max_step_tokens = max_step_tokens.value_or(on_gpu ? kGpuStepTokens : config.max_step_tokens);
  resolved.speculation = resolved_speculation(*this);
  resolved.fit_batch = on_gpu && !max_batch;
  resolved.fit_step_tokens = on_gpu && !max_step_tokens;
  if (on_gpu && resolved.deterministic)
    throw Error(ExitCode::usage, "--deterministic: a GPU's answers depend on the batch so far; use --device cpu");
  if (!on_gpu && !devices.empty())
    throw Error(ExitCode::usage, "--devices names GPUs, and the model runs on the CPU (--device)");
  if (on_gpu) resolved.devices = devices.empty() ? all_gpus() : devices;
  warn_of_shared_gpus(resolved.devices);
  divide_devices(resolved, tensor_parallel, replicas);
  return resolved;
}

}  // namespace penstock
