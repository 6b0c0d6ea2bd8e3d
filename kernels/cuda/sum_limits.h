// Up to which size each way of summing over ranks is taken, measured once on a machine and remembered.
#pragma once
#include <cstdint>
#include <limits>
#include <optional>
#include <string>

namespace penstock::cuda {

// Bytes: in one shot up to the first, in two up to the second; beyond, NCCL where there is one.
struct SumLimits {
  static constexpr int64_t kEverything = std::numeric_limits<int64_t>::max();
  int64_t one_shot = 0, two_shot = 0;
};

// What was found beside an NCCL of this version; empty: beside none.
struct MeasuredLimits {
  SumLimits limits;
  std::string nccl;
};

// `group` names what the limits hang on beside the current device's model: how many ranks, how connected. A file that
// is torn or foreign is as none; where it cannot be written nothing is remembered.
std::optional<MeasuredLimits> remembered_limits(const std::string& group);
void remember_limits(const std::string& group, const MeasuredLimits& measured);

}  // namespace penstock::cuda
