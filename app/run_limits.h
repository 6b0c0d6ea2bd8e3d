// What a run may hold at a time.
#pragma once
#include <cstdint>

#include "app/prepare.h"
#include "engine/engine_config.h"

namespace penstock {

// How much may be between the input and the output. A single request may exceed the bytes: it then runs alone.
struct RunLimits {
  int64_t requests = 1280;             // read and not yet written
  int64_t sequences = 1280;            // in the engine
  int64_t line_bytes = 256 << 20;      // of those requests' lines, and of records that wait for their turn
  int64_t prepared_bytes = 512 << 20;  // of their token ids
};
RunLimits run_limits(const EngineConfig& config);

// Of a prepared request: its token ids, and what comes with them.
int64_t bytes_of(const PreparedRequest& prepared);

}  // namespace penstock
