// The stretch of text between two added tokens while it is normalized, and the parts of it in which added-token text
// must stay text. Every normalizer carries those parts along.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "engine/text/tokenizer.h"

namespace penstock::text {

using Range = Tokenizer::Range;

struct WorkingText {
  std::string_view bytes;      // points into `storage` once something was rewritten
  std::vector<Range> literal;  // ascending, disjoint
  bool starts_text;            // nothing stands before it in the text being encoded
  std::string storage;
  // Normalizers may rewrite, not multiply: a few replacements in a row could fill any memory. NFKD needs a factor 11.
  size_t most_bytes = 16 * bytes.size() + (64 << 10);
};

// One pass over a WorkingText that builds its replacement. A literal range that ends inside replaced text grows to
// cover all of what replaced it.
class Rewrite {
 public:
  explicit Rewrite(WorkingText& text) : text_(text) {}

  void keep(size_t bytes);                            // the next bytes of the source, unchanged
  void replace(size_t bytes, std::string_view with);  // Errors: Error(bad_model) past most_bytes
  void commit();                                      // the whole source must have been consumed

 private:
  struct Step {
    size_t source_end, output_end;
    bool kept;
  };
  void record(bool kept);
  size_t map_begin(size_t position) const;
  size_t map_end(size_t position) const;

  WorkingText& text_;
  std::string output_;
  size_t consumed_ = 0;
  std::vector<Step> steps_;  // recorded only where there are literal ranges to map
};

}  // namespace penstock::text
