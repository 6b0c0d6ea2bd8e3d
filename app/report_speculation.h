// The part of a report that tells what speculation did.
#pragma once
#include <string>

#include "engine/engine.h"
#include "engine/json.h"

namespace penstock {

// Proposed and accepted drafts by drafter and position, the tokens a row gave, and the gain by the table of costs.
OrderedJson report_speculation(const SpeculationStats& stats);
std::string format_speculation(const SpeculationStats& stats);  // a line; empty where nothing was drafted

std::string speculation_section(const OrderedJson& report);  // of the page

}  // namespace penstock
