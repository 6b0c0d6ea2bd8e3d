// What the draft model does for a step, pass by pass.
#pragma once
#include <vector>

#include "engine/schedule/step_plan.h"

namespace penstock {

// StepPlan::drafts as plans of their own. Pass 0 feeds every DraftRow its known ids and draws draft 0 of those that
// want drafts; pass i feeds draft i - 1 and draws draft i. Rows that want the most come first, so a pass's rows are the
// first ones of the pass before it, and only pass 0 has block tables (StepBuffers::upload). Drafts of a slot are fed
// from the device, so no pass waits for the one before it.
//
// slots: of the device, as in input_from_draft. vocab: of the draft model; ids beyond embed as zeros there.
std::vector<StepPlan> draft_passes(const StepPlan& plan, int32_t slots, int32_t vocab, int32_t block_size);

}  // namespace penstock
