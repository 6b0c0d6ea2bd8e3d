// All pieces of a vocabulary that begin at a place of a text, found in one walk.
#pragma once
#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

#include "engine/text/vocabulary.h"

namespace penstock::text {

class PieceTrie {
 public:
  explicit PieceTrie(const Vocabulary& vocabulary);

  // Calls found(length, id) for every piece that is a prefix of `text`, shortest first.
  template <class Found>
  void for_each_prefix(std::string_view text, Found found) const {
    int32_t node = 0;
    for (size_t i = 0; i < text.size(); ++i) {
      node = child(node, static_cast<unsigned char>(text[i]));
      if (node < 0) return;
      if (nodes_[node].id >= 0) found(i + 1, nodes_[node].id);
    }
  }

 private:
  // A node's children are nodes_[first_child, first_child + num_children), by ascending byte.
  struct Node {
    int32_t id = -1;  // of the piece that ends here; -1: none does
    int32_t first_child = 0;
    int32_t num_children = 0;
    unsigned char byte = 0;
  };

  int32_t child(int32_t node, unsigned char byte) const {
    if (node == 0) return roots_[byte];
    const Node& parent = nodes_[node];
    int32_t low = parent.first_child, high = low + parent.num_children;
    while (low < high) {
      const int32_t middle = low + (high - low) / 2;
      if (nodes_[middle].byte < byte)
        low = middle + 1;
      else
        high = middle;
    }
    return low < parent.first_child + parent.num_children && nodes_[low].byte == byte ? low : -1;
  }

  std::vector<Node> nodes_;  // [0]: the root
  std::array<int32_t, 256> roots_;
};

}  // namespace penstock::text
