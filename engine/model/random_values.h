// Weights of a model that nobody trained.
#pragma once
#include <array>
#include <cstdint>
#include <span>
#include <string_view>

namespace penstock {

// bf16 values near N(0, scale^2), each a pure function of the tensor's name and the value's index in it. Cheap, so that
// gigabytes of them take less time than their way to a GPU: 64 random bits make four values, and each picks one of
// kQuantiles quantiles of the distribution.
class RandomValues {
 public:
  static constexpr int kQuantiles = 4096;

  RandomValues(std::string_view tensor, float scale);
  // Values [first, first + values.size()) of the tensor.
  void fill(int64_t first, std::span<uint16_t> values) const;

 private:
  uint64_t seed_;
  std::array<uint16_t, kQuantiles> quantiles_;
};

}  // namespace penstock
