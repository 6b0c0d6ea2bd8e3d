// What a step costs by the number of its tokens, learnt from the steps of this run.
#pragma once
#include <array>
#include <cstdint>
#include <map>

namespace penstock {

class StepCost {
 public:
  void observe(int64_t tokens, double seconds);

  // Between sizes that were seen a straight line; below the smallest, that one's. A few tokens above the largest, that
  // one's too, since that is how more becomes known; beyond, the line through it and another, or where no other was
  // seen as much to twice the size, and then in proportion. 0 when nothing was seen that counts.
  double seconds(int64_t tokens) const;

  bool knows(int64_t tokens) const { return sizes_.contains(size_class(tokens)); }
  int64_t largest() const { return sizes_.empty() ? 0 : sizes_.rbegin()->first; }

 private:
  // The median of the last few: a step that was slow for other reasons does not count.
  class Recent {
   public:
    void add(double seconds) { last_[count_++ % kKept] = seconds; }
    double median() const;

   private:
    static constexpr int kKept = 5;
    std::array<double, kKept> last_{};
    int64_t count_ = 0;
  };

  // Exact to 16, then steps of an eighth: about what graphs pad to.
  static int64_t size_class(int64_t tokens);
  double beyond(int64_t tokens) const;

  std::map<int64_t, Recent> sizes_;
};

}  // namespace penstock
