// What a rank is called in messages, and errors that say whose they are.
#pragma once
#include <exception>
#include <string>

#include "engine/engine_config.h"

namespace penstock {

// "GPU 3", "GPU 3 (replica 1 of 2, rank 0 of 4)", "the CPU": from 0.
std::string rank_name(const EngineConfig& config, int32_t replica, int32_t rank);

// The same kind of error with `name` before its message.
std::exception_ptr named(std::exception_ptr error, const std::string& name);

}  // namespace penstock
