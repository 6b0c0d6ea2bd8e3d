// What the device keeps of each slot from step to step: the last sampled token, drafts, and what edits its logits. One
// rank's; every model that runs on the rank reads and writes the same.
#pragma once
#include "engine/schedule/step_plan.h"
#include "engine/step/upload_ring.h"
#include "kernels/backend.h"

namespace penstock {

// All pointers stay the same for the buffers' life, so graphs may keep them.
class SlotBuffers {
 public:
  // in_flight: so many calls of prepare may wait for their copies.
  SlotBuffers(int64_t slots, int64_t vocab, Backend& backend, int in_flight = 1);
  static int64_t bytes(int64_t slots, int64_t vocab);

  // The plan's setups and known drafts. Nothing that slots hold as drafts outlasts it.
  void prepare(const StepPlan& plan, Backend& backend);

  int64_t slots() const { return slots_; }
  int32_t* last_tokens() const { return tokens_.as<int32_t>(); }  // [slots]
  int32_t* drafts() const { return last_tokens() + slots_; }      // [slots, kMaxDrafts], right behind
  SlotState state() const;

 private:
  void tell(const std::vector<KnownDrafts>& known, Backend& backend);

  int64_t slots_, vocab_;
  UploadRing known_;
  DeviceBuffer tokens_, counts_, edits_, num_edits_;
};

}  // namespace penstock
