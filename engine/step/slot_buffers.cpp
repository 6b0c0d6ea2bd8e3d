#include "engine/step/slot_buffers.h"

#include <algorithm>

namespace penstock {
namespace {

constexpr int64_t kDraftBytes = kMaxDrafts * int64_t{sizeof(int32_t)};

struct Sizes {
  Sizes(int64_t slots, int64_t vocab)
      : tokens(slots * (4 + kDraftBytes)),
        counts(slots * vocab * 2),
        edits(slots * kMaxLogitEdits * static_cast<int64_t>(sizeof(LogitEdit))),
        num_edits(slots * 4) {}

  int64_t tokens, counts, edits, num_edits;
};

}  // namespace

int64_t SlotBuffers::bytes(int64_t slots, int64_t vocab) {
  const Sizes sizes(slots, vocab);
  return sizes.tokens + sizes.counts + sizes.edits + sizes.num_edits;
}

SlotBuffers::SlotBuffers(int64_t slots, int64_t vocab, Backend& backend, int in_flight)
    : slots_(slots),
      vocab_(vocab),
      known_(backend, in_flight, slots * kDraftBytes),
      tokens_(backend.allocate(Sizes(slots, vocab).tokens)),
      counts_(backend.allocate(Sizes(slots, vocab).counts)),
      edits_(backend.allocate(Sizes(slots, vocab).edits)),
      num_edits_(backend.allocate(Sizes(slots, vocab).num_edits)) {
  for (const DeviceBuffer* buffer : {&tokens_, &counts_, &num_edits_})
    backend.fill_zero(buffer->data(), buffer->bytes());
}

void SlotBuffers::prepare(const StepPlan& plan, Backend& backend) {
  for (const SlotSetup& setup : plan.setups)
    backend.prepare_slot({.slots = state(),
                          .slot = setup.slot,
                          .prompt = setup.prompt,
                          .generated = setup.generated,
                          .edits = setup.edits});
  if (!plan.known_drafts.empty()) tell(plan.known_drafts, backend);
}

// One copy, up to the highest slot named: what lies between is nobody's.
void SlotBuffers::tell(const std::vector<KnownDrafts>& known, Backend& backend) {
  auto* host = known_.take<int32_t>();
  int64_t end = 0;
  for (const KnownDrafts& drafts : known) {
    if (drafts.slot < 0 || drafts.slot >= slots_ || drafts.ids.size() > kMaxDrafts)
      throw Error(ExitCode::internal, "a step's drafts have no such slot, or are too many");
    std::copy(drafts.ids.begin(), drafts.ids.end(), host + int64_t{drafts.slot} * kMaxDrafts);
    end = std::max<int64_t>(end, drafts.slot + 1);
  }
  known_.upload(drafts(), end * kDraftBytes, backend);
}

SlotState SlotBuffers::state() const {
  return {.counts = counts_.as<uint16_t>(),
          .edits = edits_.as<LogitEdit>(),
          .num_edits = num_edits_.as<int32_t>(),
          .slots = slots_,
          .vocab = vocab_};
}

}  // namespace penstock
