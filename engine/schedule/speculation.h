// Speculative decoding in the words of its users: who drafts, and what came of it.
#pragma once
#include <array>
#include <cstdint>

#include "kernels/step_view.h"

namespace penstock {

enum class Speculation { off, ngram, draft, automatic };  // automatic: whoever gains more

struct SpeculationStats {
  struct ByDrafter {
    std::array<int64_t, kMaxDrafts> proposed{}, accepted{};  // by position
  };
  ByDrafter ngram, model;
  int64_t steps = 0, rows = 0;  // that fed drafts
  int64_t tokens = 0;           // that those rows gave
  int64_t catch_up_tokens = 0;  // fed to the draft model beside what it drafts from
  double seconds = 0;           // of those steps, drafting and the device's waiting included
  double draft_seconds = 0;     // of them, by the draft model
  double seconds_without = 0;   // what their tokens would have taken without drafts, by the table of costs
};

}  // namespace penstock
