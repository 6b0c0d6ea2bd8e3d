#include "engine/text/post_processor.h"

namespace penstock::text {

PostProcessor::PostProcessor(const Node& node) { read(node); }

void PostProcessor::read(const Node& node) {
  std::string type = node.type();
  if (type == "Sequence") {
    node.only({"type", "processors"});
    Node list = node.at("processors");
    for (size_t i = 0; i < list.size(); ++i) read(list.element(i));
    return;
  }
  if (type == "ByteLevel") return node.only({"type", "add_prefix_space", "trim_offsets", "use_regex"});
  // A second template would be given the parts of the first as if they were a pair of texts.
  if (has_template_) node.fail("(" + quote(type) + ") follows another template, which is not supported");
  has_template_ = true;
  if (type == "TemplateProcessing") return read_template(node);
  if (type == "BertProcessing" || type == "RobertaProcessing") return read_pair(node);
  node.fail("is of type " + quote(type) + ", which is not supported");
}

void PostProcessor::read_template(const Node& node) {
  node.only({"type", "single", "pair", "special_tokens"});
  constexpr size_t kMostSpecials = 1024;
  Node single = node.at("single"), specials = node.at("special_tokens");
  bool has_text = false;
  size_t count = 0;
  for (size_t i = 0; i < single.size(); ++i) {
    Node piece = single.element(i);
    piece.only({"Sequence", "SpecialToken"});
    if (auto sequence = piece.find("Sequence")) {
      if (has_text) piece.fail("is the text a second time");
      has_text = true;
      if (sequence->at("id").string() != "A") sequence->at("id").fail("must be A in a template for one text");
      parts_.push_back({true, {}});
      continue;
    }
    Node special = specials.at(piece.at("SpecialToken").at("id").string().c_str());
    Part part{false, {}};
    Node ids = special.at("ids");
    if ((count += ids.size()) > kMostSpecials) piece.fail("is one token too many: 1024 may be added to a text");
    for (size_t k = 0; k < ids.size(); ++k) part.special.push_back(ids.element(k).token_id());
    parts_.push_back(std::move(part));
  }
}

// cls text sep, each of the two written as ["<s>", 0].
void PostProcessor::read_pair(const Node& node) {
  node.only({"type", "sep", "cls", "trim_offsets", "add_prefix_space"});
  auto id = [&](const char* key) {
    Node token = node.at(key);
    if (token.size() != 2) token.fail("must be a token and its id");
    return token.element(1).token_id();
  };
  parts_ = {{false, {id("cls")}}, {true, {}}, {false, {id("sep")}}};
}

void PostProcessor::apply(std::vector<int32_t>& ids, bool add_special_tokens) const {
  if (!has_template_) return;
  std::vector<int32_t> text = std::move(ids);
  ids.clear();
  for (const Part& part : parts_) {
    if (!part.text && !add_special_tokens) continue;
    const auto& source = part.text ? text : part.special;
    ids.insert(ids.end(), source.begin(), source.end());
  }
}

}  // namespace penstock::text
