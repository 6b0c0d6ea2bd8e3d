#pragma once
#include "engine/model/json_fields.h"
#include "engine/model/model_config.h"

namespace penstock {

// The rotary embedding out of config.json's rope_theta with rope_scaling (transformers 4) or rope_parameters
// (transformers 5). Errors: Error(bad_model), also when the two contradict each other.
RopeConfig parse_rope_config(const JsonFields& config);

}  // namespace penstock
