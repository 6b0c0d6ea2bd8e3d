#include "engine/step/fault_hooks.h"

namespace penstock {

void before_step(int, int, uint64_t) {}
double silence_limit() { return 45; }

}  // namespace penstock
