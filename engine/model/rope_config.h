#pragma once
#include "engine/model/json_fields.h"
#include "engine/model/model_config.h"

namespace penstock {

// Fills in config.rope and, where layers need it, config.local_rope out of config.json's rope_theta with rope_scaling
// (transformers 4) or rope_parameters (transformers 5); `theta` is the family's default. Sets max_positions to what the
// scaling gives: yarn's factor x original length, dynamic's original length (beyond which its angles would depend on
// the sequence's length). Errors: Error(bad_model), also when two places contradict each other.
void read_rope(const JsonFields& fields, double theta, ModelConfig& config);

}  // namespace penstock
