// The parts of a Tokenizer, in the order in which a text passes them.
#pragma once
#include <mutex>

#include "engine/text/added_tokens.h"
#include "engine/text/normalizer.h"
#include "engine/text/post_processor.h"
#include "engine/text/pre_tokenizer.h"
#include "engine/text/subword_model.h"
#include "engine/text/token_decoder.h"
#include "engine/text/tokenizer.h"

namespace penstock {

namespace text {

// Sessions of a model that no thread is using now: each encode call borrows one.
class SessionPool {
 public:
  explicit SessionPool(const SubwordModel& model) : model_(model) {}
  std::unique_ptr<SubwordModel::Session> take();
  void give_back(std::unique_ptr<SubwordModel::Session> session);

 private:
  const SubwordModel& model_;
  std::mutex mutex_;
  std::vector<std::unique_ptr<SubwordModel::Session>> idle_;
};

}  // namespace text

struct Tokenizer::Impl {
  explicit Impl(const text::Node& root);

  void encode_text(std::string_view text, std::span<const Range> literal, text::SubwordModel::Session& session,
                   std::vector<int32_t>& ids) const;
  // What the decoder is given for an id; nothing for unknown ids and for those that are to be skipped.
  std::optional<std::string_view> spelling(int32_t id, bool skip_special_tokens) const;

  std::unique_ptr<const text::Normalizer> normalizer;  // may be null
  text::PreTokenization pre_tokenization;              // its splitter may be null
  std::unique_ptr<const text::SubwordModel> model;
  text::AddedTokens added;
  text::PostProcessor post_processor;
  text::TokenDecoder decoder;
  mutable text::SessionPool sessions;
};

}  // namespace penstock
