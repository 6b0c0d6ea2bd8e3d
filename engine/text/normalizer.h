// The "normalizer" of a tokenizer.json: rewrites text before it is cut into words.
// Known: Sequence, NFC, NFD, NFKC, NFKD, Lowercase, Strip, Prepend, Replace, Precompiled.
#pragma once
#include <memory>

#include "engine/text/json_node.h"
#include "engine/text/working_text.h"

namespace penstock::text {

class Normalizer {
 public:
  virtual ~Normalizer() = default;
  virtual void normalize(WorkingText& text) const = 0;

  std::string normalized(std::string_view text) const;
};

std::unique_ptr<const Normalizer> read_normalizer(const Node& node);

// utf8proc's decomposition and composition flags: NFC, NFD, NFKC or NFKD.
std::unique_ptr<const Normalizer> make_unicode_normalizer(std::string_view form);

// SentencePiece's "precompiled_charsmap", base64.
std::unique_ptr<const Normalizer> make_precompiled_normalizer(const Node& map);

}  // namespace penstock::text
