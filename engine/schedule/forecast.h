// How full the pool will get when those who run go on to the ends that are known of them, a token a step: so that
// nobody is admitted who would have to be thrown out again.
#pragma once
#include <algorithm>
#include <cstdint>
#include <vector>

namespace penstock {

class Forecast {
 public:
  // A sequence whose last step is known. Blocks are fractions here: a step takes 1 / block_size of one, and each
  // sequence may be one ahead, which it has begun.
  struct Growth {
    int32_t steps = 0;     // until it ends
    double returning = 0;  // blocks that are its own now, and come back when it ends, with all it takes until then
  };

  explicit Forecast(int32_t block_size) : block_size_(block_size) {}

  void add(const Growth& growth) {
    const auto place = std::upper_bound(running_.begin(), running_.end(), growth, earlier);
    running_.insert(place, growth);
  }

  // Whether `taken` blocks now, and then `growth`, stay within `available` at all times.
  bool fits(const Growth& growth, double taken, double available) const {
    double alive = 1 + static_cast<double>(running_.size()), returned = 0;
    // The pool is fullest just before somebody ends.
    bool ended = false;
    const auto leave = [&](const Growth& one) {
      const double grown = 1 + static_cast<double>(one.steps) / block_size_, fullest = taken + alive * grown - returned;
      alive -= 1;
      returned += one.returning + grown;
      return fullest <= available;
    };
    for (const Growth& one : running_) {
      if (!ended && growth.steps <= one.steps) {
        if (!leave(growth)) return false;
        ended = true;
      }
      if (!leave(one)) return false;
    }
    return ended || leave(growth);
  }

 private:
  static bool earlier(const Growth& a, const Growth& b) { return a.steps < b.steps; }

  double block_size_;
  std::vector<Growth> running_;  // ascending steps
};

}  // namespace penstock
