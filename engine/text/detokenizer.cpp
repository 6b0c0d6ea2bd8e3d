#include "engine/text/detokenizer.h"

#include <algorithm>
#include <stdexcept>

#include "engine/text/tokenizer_impl.h"

namespace penstock {

Detokenizer::Detokenizer(const Tokenizer& tokenizer)
    : tokenizer_(&tokenizer), stream_(std::make_unique<text::DecodeStream>(tokenizer.impl_->decoder)) {}
Detokenizer::~Detokenizer() = default;
Detokenizer::Detokenizer(Detokenizer&&) noexcept = default;
Detokenizer& Detokenizer::operator=(Detokenizer&&) noexcept = default;

std::string Detokenizer::push(int32_t id) {
  std::string out;
  if (auto spelling = tokenizer_->impl_->spelling(id, /*skip_special_tokens=*/true)) stream_->push(*spelling, out);
  return out;
}

std::string Detokenizer::finish() {
  std::string out;
  stream_->finish(out);
  return out;
}

StopMatcher::StopMatcher(std::span<const std::string> stops) {
  for (const std::string& text : stops) {
    if (text.empty()) throw std::invalid_argument("an empty stop string");
    Stop stop{text, std::vector<uint32_t>(text.size(), 0)};
    for (size_t i = 1; i < text.size(); ++i) {
      uint32_t border = stop.border[i - 1];
      while (border > 0 && text[border] != text[i]) border = stop.border[border - 1];
      stop.border[i] = border + (text[border] == text[i]);
    }
    stops_.push_back(std::move(stop));
  }
}

bool StopMatcher::Stop::advance(char c) {
  while (matched > 0 && text[matched] != c) matched = border[matched - 1];
  matched += text[matched] == c;
  return matched == text.size();
}

bool StopMatcher::push(std::string_view piece) {
  if (stopped_) return true;
  size_t before = text_.size(), cut = std::string::npos;
  text_ += piece;
  for (Stop& stop : stops_) {
    for (size_t i = 0; i < piece.size(); ++i) {
      if (!stop.advance(piece[i])) continue;
      cut = std::min(cut, before + i + 1 - stop.text.size());
      break;
    }
  }
  stopped_ = cut != std::string::npos;
  if (stopped_) text_.resize(cut);
  return stopped_;
}

size_t StopMatcher::settled() const {
  if (stopped_) return text_.size();
  uint32_t open = 0;
  for (const Stop& stop : stops_) open = std::max(open, stop.matched);
  return text_.size() - open;
}

}  // namespace penstock
