// How the GPUs are divided: replicas of the model, each on so many ranks.
#pragma once
#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "engine/engine_config.h"
#include "engine/model/model_config.h"

namespace penstock {

// Sets config.tensor_parallel and config.replicas from what the user said of them; nothing means auto. On the CPU that
// is 1. On GPUs all of config.devices are used, and both become 0 where only the model can decide.
// Errors: Error(usage), with the number of GPUs, when they cannot be divided so.
void divide_devices(EngineConfig& config, std::optional<int32_t> tensor_parallel, std::optional<int32_t> replicas);

struct Layout {
  int32_t tensor_parallel = 1, replicas = 1;
  std::string why;  // for people; empty on the CPU
};

// What a model needs to run on so many ranks: nothing when it fits, else why not. May throw.
using FitsRanks = std::function<std::optional<std::string>(int32_t ranks)>;

// The smallest number of ranks that divides `devices` and fits. Errors: Error(no_device) with what `misfit` said of the
// largest.
Layout smallest_layout(int32_t devices, const FitsRanks& misfit);

// As the config says, or, where that is 0, by the memory plans (with those of `draft`) on the first of its devices: the
// pool must hold as many tokens as a step computes, or a whole context. Errors: as smallest_layout and make_backend.
Layout choose_layout(const ModelConfig& model, const EngineConfig& config, const ModelConfig* draft = nullptr);

EngineConfig with_layout(EngineConfig config, const Layout& layout);

}  // namespace penstock
