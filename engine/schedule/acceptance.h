// How often drafts were accepted, by their position in a proposal.
#pragma once
#include <array>
#include <cstdint>

#include "kernels/step_view.h"

namespace penstock {

class Acceptance {
 public:
  // Of `proposed` drafts the first `accepted` were.
  void record(int32_t proposed, int32_t accepted) {
    for (int32_t i = 0; i < proposed && i <= accepted; ++i) {
      tried_[i] = kMemory * tried_[i] + 1;
      accepted_[i] = kMemory * accepted_[i] + static_cast<double>(i < accepted);
    }
  }

  // The probability that draft i is accepted when those before it were. Where little is known: `elsewhere`'s, or else
  // that of the draft before.
  double rate(int32_t i, const Acceptance* elsewhere = nullptr) const {
    const double expected = elsewhere ? elsewhere->rate(i) : i > 0 ? rate(i - 1) : kAtFirst;
    return (accepted_[i] + kExpectedWeight * expected) / (tried_[i] + kExpectedWeight);
  }

  double tried(int32_t i) const { return tried_[i]; }

 private:
  static constexpr double kMemory = 0.97;  // what a trial counts less at each later one
  static constexpr double kExpectedWeight = 3, kAtFirst = 0.7;
  std::array<double, kMaxDrafts> tried_{}, accepted_{};
};

}  // namespace penstock
