// The request id: a hash of everything that decides an answer (design.md §7).
#pragma once
#include <string>
#include <string_view>

#include "app/flags.h"
#include "app/id_table.h"
#include "engine/model/model_folder.h"
#include "engine/model/safetensors_file.h"

namespace penstock {

// Of the model and of the run's settings. Not of what may only change the speed: device, ranks, block size, batch
// limits, shard. `max_context` is part of it since answers end there.
Hash128 run_fingerprint(const ModelFolder& folder, const SafetensorsFolder& weights, const ModelFlags& model,
                        const SamplingFlags& sampling, const EngineConfig& engine, int32_t max_context);

// Of one line under that fingerprint. `kind` keeps requests, refused lines and duplicates apart.
Hash128 line_hash(Hash128 fingerprint, std::string_view kind, std::string_view content);

}  // namespace penstock
