// tokenizer.json (the Hugging Face `tokenizers` format) read natively: text <-> token ids.
//
// Follows the behaviour of huggingface/tokenizers; the oracle in the tests is tokenizers.Tokenizer.from_file.
// Immutable after construction: every method may be called from any thread at the same time.
#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace penstock {

class Tokenizer {
 public:
  // `json_text`: the bytes of tokenizer.json; `path` is for messages only.
  // Errors: Error(bad_model) naming the file and the component or field; nothing unknown is ever skipped.
  Tokenizer(std::string_view json_text, const std::string& path);
  ~Tokenizer();
  Tokenizer(Tokenizer&&) noexcept;

  // text: valid UTF-8 (else Error(bad_model) is not thrown but std::invalid_argument). NUL bytes are text.
  // `add_special_tokens`: apply the post-processor (BOS and the like). `literal`: byte ranges [begin, end) of `text`,
  // ascending and disjoint, inside which added-token text is not recognised (--literal-special-tokens).
  struct Range {
    size_t begin, end;
  };
  std::vector<int32_t> encode(std::string_view text, bool add_special_tokens,
                              std::span<const Range> literal = {}) const;

  // As tokenizers' decode(ids, skip_special_tokens): whole text of `ids`; bytes that are not UTF-8 become U+FFFD.
  // Ids outside the vocabulary give no text.
  std::string decode(std::span<const int32_t> ids, bool skip_special_tokens) const;

  int32_t vocab_size() const;                                  // largest id + 1
  std::optional<int32_t> token_to_id(std::string_view) const;  // added tokens included
  std::string id_to_token(int32_t id) const;                   // the vocabulary's own spelling; "" for an unknown id
  bool is_special(int32_t id) const;

 private:
  friend class Detokenizer;  // decodes as decode() does, but step by step
  struct Impl;
  std::unique_ptr<const Impl> impl_;
};

}  // namespace penstock
