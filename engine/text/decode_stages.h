// The stages that decoders are made of.
#pragma once
#include "engine/text/metaspace.h"
#include "engine/text/regex.h"
#include "engine/text/token_decoder.h"

namespace penstock::text {

// Spellings in the byte alphabet become bytes, the bytes of all tokens one text; what is not UTF-8 becomes U+FFFD.
class ByteLevelStage : public DecodeStage {
 public:
  explicit ByteLevelStage(DecodeStage& next) : next_(next) {}
  void chunk(std::string_view text, bool ends_token) override;
  void finish() override;

 private:
  DecodeStage& next_;
  std::string token_;       // the unfinished token's spelling
  std::string unfinished_;  // bytes that may begin a character
};

// All tokens become one.
class FuseStage : public DecodeStage {
 public:
  explicit FuseStage(DecodeStage& next) : next_(next) {}
  void chunk(std::string_view text, bool) override { next_.chunk(text, false); }
  void finish() override {
    next_.chunk("", true);
    next_.finish();
  }

 private:
  DecodeStage& next_;
};

// For stages that look at whole tokens.
class WholeTokenStage : public DecodeStage {
 public:
  explicit WholeTokenStage(DecodeStage& next) : next_(next) {}
  void chunk(std::string_view text, bool ends_token) final;
  void finish() override { next_.finish(); }

 protected:
  virtual void token(std::string_view text) = 0;
  DecodeStage& next_;

 private:
  std::string begun_;
};

// A run of tokens <0xXX> becomes the text of its bytes, or one U+FFFD for each when the run as a whole is not UTF-8.
class ByteFallbackStage : public WholeTokenStage {
 public:
  using WholeTokenStage::WholeTokenStage;
  void finish() override;

 private:
  void token(std::string_view text) override;
  void end_run();
  std::string run_;
};

class ReplaceStage : public WholeTokenStage {
 public:
  ReplaceStage(std::shared_ptr<const Regex> pattern, std::string content, DecodeStage& next)
      : WholeTokenStage(next), pattern_(std::move(pattern)), content_(std::move(content)) {}

 private:
  void token(std::string_view text) override;
  std::shared_ptr<const Regex> pattern_;
  std::string content_;
};

class MetaspaceStage : public WholeTokenStage {
 public:
  MetaspaceStage(MetaspaceRule rule, DecodeStage& next) : WholeTokenStage(next), rule_(std::move(rule)) {}

 private:
  void token(std::string_view text) override;
  MetaspaceRule rule_;
  bool first_ = true;
};

// Takes up to `start` copies of a character off the front of each token and up to `stop` off its end.
class StripStage : public DecodeStage {
 public:
  StripStage(std::string character, size_t start, size_t stop, DecodeStage& next)
      : next_(next), character_(std::move(character)), start_(start), stop_(stop) {}
  void chunk(std::string_view text, bool ends_token) override;
  void finish() override { next_.finish(); }

 private:
  DecodeStage& next_;
  std::string character_;
  size_t start_, stop_;
  std::string held_;  // of this token
  size_t cut_ = 0;    // copies taken off its front
  bool front_done_ = false;
};

}  // namespace penstock::text
