// Faults that tests ask for. These do nothing; tests/app/support/fault_hooks.cpp is linked in their place where the
// environment is to say what happens.
#pragma once
#include <cstdint>

namespace penstock {

// By each rank's thread, before it starts its step `step` (StepPlan::id). May throw, or not return.
void before_step(int replica, int rank, uint64_t step);

// Seconds without a sign of life after which something is taken for hung: far more than any step takes, and short
// enough that the run is over within a minute.
double silence_limit();

}  // namespace penstock
