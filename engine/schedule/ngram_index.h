// Finds where a text has been before: hash chains over its n-grams, as LZ77 compressors keep them.
#pragma once
#include <cstdint>
#include <span>
#include <vector>

namespace penstock {

class NgramIndex {
 public:
  static constexpr int32_t kShortest = 3;  // ids that must agree

  // An earlier place in the indexed text where the last `length` ids of a context stand, just before `end`.
  struct Match {
    int32_t end = 0, length = 0;  // 0: there is none
  };

  // The text has grown; what was indexed of it is as it was.
  void extend(std::span<const int32_t> text);
  int32_t size() const { return static_cast<int32_t>(previous_.size()); }

  // The longest agreement among the latest places whose n-gram is the context's last, the later of equals. Something
  // follows it in the text. Looks back no further than some 64 ids a place.
  Match find(std::span<const int32_t> text, std::span<const int32_t> context) const;

  void clear() { *this = {}; }

 private:
  size_t bucket(const int32_t* ngram) const;
  void link(std::span<const int32_t> text, int32_t end);

  std::vector<int32_t> latest_;    // by hash: where an n-gram ends, exclusive; 0: nowhere. A power of two.
  std::vector<int32_t> previous_;  // [size] by end - 1: the place before with the same hash
};

}  // namespace penstock
