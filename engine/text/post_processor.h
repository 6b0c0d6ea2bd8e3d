// The "post_processor" of a tokenizer.json: BOS, EOS and the like around the ids of one text.
// Known: TemplateProcessing, BertProcessing, RobertaProcessing, ByteLevel (which only moves offsets), Sequence.
#pragma once
#include <cstdint>
#include <vector>

#include "engine/text/json_node.h"

namespace penstock::text {

class PostProcessor {
 public:
  PostProcessor() = default;  // leaves the ids alone
  explicit PostProcessor(const Node& node);

  void apply(std::vector<int32_t>& ids, bool add_special_tokens) const;

 private:
  struct Part {
    bool text;                     // the ids of the text itself, or
    std::vector<int32_t> special;  // these
  };
  void read(const Node& node);
  void read_template(const Node& node);
  void read_pair(const Node& node);

  bool has_template_ = false;
  std::vector<Part> parts_;
};

}  // namespace penstock::text
