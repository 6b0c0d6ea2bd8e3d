#include "engine/text/piece_trie.h"

#include <algorithm>

namespace penstock::text {

// Level by level, so that the children of a node lie side by side: pieces are sorted, so those that share a node's path
// are a range, which its children divide.
PieceTrie::PieceTrie(const Vocabulary& vocabulary) {
  std::vector<Vocabulary::Entry> pieces = vocabulary.by_id();
  std::erase_if(pieces, [](const Vocabulary::Entry& piece) { return piece.spelling.empty(); });
  std::sort(pieces.begin(), pieces.end(),
            [](const Vocabulary::Entry& a, const Vocabulary::Entry& b) { return a.spelling < b.spelling; });

  struct Open {
    size_t begin, end, depth;
  };
  std::vector<Open> open{{0, pieces.size(), 0}};  // of each node
  nodes_.emplace_back();
  for (size_t node = 0; node < nodes_.size(); ++node) {
    auto [at, end, depth] = open[node];
    nodes_[node].first_child = static_cast<int32_t>(nodes_.size());
    // The piece that ends at this node sorts before those that go on.
    if (depth > 0 && at < end && pieces[at].spelling.size() == depth) nodes_[node].id = pieces[at++].id;
    while (at < end) {
      const char byte = pieces[at].spelling[depth];
      const size_t begin = at;
      while (at < end && pieces[at].spelling[depth] == byte) ++at;
      nodes_.push_back({.byte = static_cast<unsigned char>(byte)});
      open.push_back({begin, at, depth + 1});
      ++nodes_[node].num_children;
    }
  }
  roots_.fill(-1);
  for (int32_t i = 0; i < nodes_[0].num_children; ++i) {
    const int32_t child = nodes_[0].first_child + i;
    roots_[nodes_[child].byte] = child;
  }
}

}  // namespace penstock::text
