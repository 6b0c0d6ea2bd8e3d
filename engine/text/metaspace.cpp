#include "engine/text/metaspace.h"

#include "engine/text/split_behavior.h"
#include "engine/text/unicode.h"

namespace penstock::text {

MetaspaceRule read_metaspace(const Node& node) {
  node.only({"type", "replacement", "str_rep", "add_prefix_space", "prepend_scheme", "split"});
  MetaspaceRule rule{node.at("replacement").string(), MetaspaceRule::Prepend::always, node.boolean_or("split", true)};
  if (rule.replacement.empty() || first_character(rule.replacement.data()).bytes != rule.replacement.size())
    node.at("replacement").fail("must be one character");
  auto scheme = node.find("prepend_scheme");
  if (scheme) {
    std::string name = scheme->string();
    if (name == "never")
      rule.prepend = MetaspaceRule::Prepend::never;
    else if (name == "first")
      rule.prepend = MetaspaceRule::Prepend::first;
    else if (name != "always")
      scheme->fail("is the unknown scheme " + quote(name));
  }
  // Older files have only this field.
  if (!node.boolean_or("add_prefix_space", true)) {
    if (rule.prepend != MetaspaceRule::Prepend::never && scheme) scheme->fail("contradicts add_prefix_space");
    rule.prepend = MetaspaceRule::Prepend::never;
  }
  return rule;
}

void Metaspace::split(const Piece& piece, PieceSink sink) const {
  std::string text;
  bool prepend = rule_.prepend == MetaspaceRule::Prepend::always ||
                 (rule_.prepend == MetaspaceRule::Prepend::first && piece.starts_text);
  if (prepend && !piece.text.starts_with(' ') && !piece.text.starts_with(rule_.replacement)) text = rule_.replacement;
  for (char c : piece.text) {
    if (c == ' ')
      text += rule_.replacement;
    else
      text += c;
  }
  Piece visible{text, piece.starts_text};
  if (!rule_.split) return sink(visible);

  Splitter splitter(visible, SplitBehavior::merged_with_next, sink);
  size_t begin = 0;
  for (size_t at; (at = text.find(rule_.replacement, begin)) != std::string::npos;) {
    if (begin < at) splitter.span(begin, at, false);
    begin = at + rule_.replacement.size();
    splitter.span(at, begin, true);
  }
  if (begin < text.size()) splitter.span(begin, text.size(), false);
  splitter.finish();
}

}  // namespace penstock::text
