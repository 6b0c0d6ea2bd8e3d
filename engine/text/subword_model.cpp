#include "engine/text/subword_model.h"

#include "engine/text/bpe.h"
#include "engine/text/unigram.h"

namespace penstock::text {

std::unique_ptr<const SubwordModel> read_subword_model(const Node& node, WordUnit unit) {
  // Files from before 2021 leave the type of BPE out.
  std::string type = node.find("type") ? node.type() : "BPE";
  if (type == "BPE") return std::make_unique<BpeModel>(node, unit);
  if (type != "Unigram") node.fail("is of type " + quote(type) + ", which is not supported");
  if (unit == WordUnit::bytes) node.fail("is Unigram after a ByteLevel pre-tokenizer, which is not supported");
  return std::make_unique<UnigramModel>(node);
}

}  // namespace penstock::text
