// The angles of rotary position embedding (Su et al. 2021), computed once on the host.
#pragma once
#include <cstdint>
#include <vector>

#include "engine/model/model_config.h"

namespace penstock {

// [positions, head_dim]: the cosines of head_dim / 2 angles, then their sines. Rounds where Hugging Face does: inverse
// frequencies, angles, cosines and sines are each f32. llama3 scaling as in Llama 3.1's release.
std::vector<float> rope_table(const RopeConfig& rope, int64_t head_dim, int64_t positions);

}  // namespace penstock
