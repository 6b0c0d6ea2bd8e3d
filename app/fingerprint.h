// The request id: a hash of everything that decides an answer (design.md §7).
#pragma once
#include <cstdint>
#include <string>
#include <string_view>

#include "app/flags.h"
#include "app/id_table.h"
#include "engine/model/model_folder.h"
#include "engine/model/safetensors_file.h"

namespace penstock {

// What decides the answers beside the request, in two halves, so that a later run can tell which of them differs.
struct RunFingerprint {
  uint32_t model = 0;     // the folder's files
  uint32_t settings = 0;  // dtype, seed, sampling defaults, template, context
};

// Without what may only change the speed: device, ranks, block size, batch limits, shard. `max_context` is part of it
// since answers end there.
RunFingerprint run_fingerprint(const ModelFolder& folder, const SafetensorsFolder& weights, const ModelFlags& model,
                               const SamplingFlags& sampling, const EngineConfig& engine, int32_t max_context);

// Of one line: the fingerprint, and 64 bits of the line under it. `kind` keeps requests, refused lines and duplicates
// apart.
Hash128 line_hash(RunFingerprint fingerprint, std::string_view kind, std::string_view content);

// What makes `now` another hash than `then`, which stands in the output: for the message.
const char* what_differs(Hash128 then, Hash128 now);

}  // namespace penstock
