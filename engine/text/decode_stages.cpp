#include "engine/text/decode_stages.h"

#include "engine/text/byte_alphabet.h"
#include "engine/text/unicode.h"
#include "kernels/error.h"

namespace penstock::text {
namespace {

constexpr std::string_view kReplacementCharacter = "\xEF\xBF\xBD";

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

// The byte of "<0xXX>"; -1 for other tokens.
int fallback_byte(std::string_view token) {
  if (token.size() != 6 || !token.starts_with("<0x") || token[5] != '>') return -1;
  // Rust's number parser takes a plus sign.
  if (token[3] == '+') return hex_digit(token[4]);
  int high = hex_digit(token[3]), low = hex_digit(token[4]);
  return high < 0 || low < 0 ? -1 : high << 4 | low;
}

}  // namespace

void ByteLevelStage::chunk(std::string_view text, bool ends_token) {
  token_ += text;
  if (!ends_token) return;
  auto bytes = bytes_of_spelling(token_);
  unfinished_ += bytes ? *bytes : token_;  // a token with other characters stands for itself
  token_.clear();

  std::string decoded;
  std::string_view rest = unfinished_;
  while (!rest.empty()) {
    Utf8Step step = utf8_step(rest);
    if (step.kind == Utf8Step::unfinished) break;
    decoded += step.kind == Utf8Step::good ? rest.substr(0, step.bytes) : kReplacementCharacter;
    rest.remove_prefix(step.bytes);
  }
  unfinished_.erase(0, unfinished_.size() - rest.size());
  next_.chunk(decoded, false);
}

void ByteLevelStage::finish() {
  next_.chunk(unfinished_.empty() ? "" : kReplacementCharacter, true);
  next_.finish();
}

void WholeTokenStage::chunk(std::string_view text, bool ends_token) {
  if (ends_token && begun_.empty()) return token(text);
  begun_ += text;
  if (!ends_token) return;
  token(begun_);
  begun_.clear();
}

void ByteFallbackStage::token(std::string_view text) {
  int byte = fallback_byte(text);
  if (byte >= 0) {
    run_ += static_cast<char>(byte);
    return;
  }
  end_run();
  next_.chunk(text, true);
}

void ByteFallbackStage::end_run() {
  if (run_.empty()) return;
  if (is_utf8(run_))
    next_.chunk(run_, true);
  else
    for (size_t i = 0; i < run_.size(); ++i) next_.chunk(kReplacementCharacter, true);
  run_.clear();
}

void ByteFallbackStage::finish() {
  end_run();
  next_.finish();
}

void ReplaceStage::token(std::string_view text) {
  constexpr size_t kMostBytes =
      64 << 20;  // of a token, or of a fused text: replacements in a row could fill any memory
  std::string replaced;
  pattern_->for_each_span(text, [&](size_t begin, size_t end, bool matched) {
    if (replaced.size() + content_.size() > kMostBytes)
      throw Error(ExitCode::bad_model, "tokenizer.json: decoder: Replace makes more than 64 MiB of a token");
    replaced += matched ? std::string_view(content_) : text.substr(begin, end - begin);
  });
  next_.chunk(replaced, true);
}

void MetaspaceStage::token(std::string_view text) {
  std::string spaced;
  bool drop = first_ && rule_.prepend != MetaspaceRule::Prepend::never;
  while (!text.empty()) {
    if (text.starts_with(rule_.replacement)) {
      if (!drop) spaced += ' ';
      text.remove_prefix(rule_.replacement.size());
    } else {
      spaced += text[0];
      text.remove_prefix(1);
    }
  }
  first_ = false;
  next_.chunk(spaced, true);
}

void StripStage::chunk(std::string_view text, bool ends_token) {
  held_ += text;
  while (!front_done_ && cut_ < start_ && held_.starts_with(character_)) {
    held_.erase(0, character_.size());
    ++cut_;
  }
  // A chunk may end inside `character_`.
  bool could_go_on = cut_ < start_ && held_.size() < character_.size() && character_.starts_with(held_);
  front_done_ = !could_go_on;
  if (ends_token) {
    for (size_t i = 0; i < stop_ && held_.ends_with(character_); ++i) held_.resize(held_.size() - character_.size());
    next_.chunk(held_, true);
    held_.clear();
    cut_ = 0;
    front_done_ = false;
  } else if (front_done_ && stop_ == 0) {
    next_.chunk(held_, false);
    held_.clear();
  }
}

}  // namespace penstock::text
