// The parts of a report that tell the replicas from each other.
#pragma once
#include <string>

#include "engine/fleet.h"
#include "engine/json.h"

namespace penstock {

OrderedJson report_replicas(const Fleet& fleet);
// A line for people; empty where there are no GPUs to divide.
std::string format_layout(const Fleet& fleet);

}  // namespace penstock
