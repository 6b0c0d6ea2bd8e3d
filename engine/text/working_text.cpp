#include "engine/text/working_text.h"

#include <algorithm>
#include <cassert>

#include "kernels/error.h"

namespace penstock::text {

void Rewrite::keep(size_t bytes) {
  if (bytes == 0) return;
  output_ += text_.bytes.substr(consumed_, bytes);
  consumed_ += bytes;
  record(true);
}

void Rewrite::replace(size_t bytes, std::string_view with) {
  if (output_.size() + with.size() > text_.most_bytes)
    throw Error(ExitCode::bad_model, "tokenizer.json: normalizer: makes more than " + std::to_string(text_.most_bytes) +
                                         " bytes of a text, over 16 times its size");
  output_ += with;
  consumed_ += bytes;
  record(false);
}

void Rewrite::record(bool kept) {
  if (!text_.literal.empty()) steps_.push_back({consumed_, output_.size(), kept});
}

size_t Rewrite::map_begin(size_t position) const {
  auto step = std::upper_bound(steps_.begin(), steps_.end(), position,
                               [](size_t value, const Step& s) { return value < s.source_end; });
  if (step == steps_.end()) return output_.size();
  size_t source_begin = step == steps_.begin() ? 0 : step[-1].source_end;
  size_t output_begin = step == steps_.begin() ? 0 : step[-1].output_end;
  return step->kept ? output_begin + (position - source_begin) : output_begin;
}

size_t Rewrite::map_end(size_t position) const {
  auto step = std::lower_bound(steps_.begin(), steps_.end(), position,
                               [](const Step& s, size_t value) { return s.source_end < value; });
  if (step == steps_.end()) return output_.size();
  return step->kept ? step->output_end - (step->source_end - position) : step->output_end;
}

void Rewrite::commit() {
  assert(consumed_ == text_.bytes.size());
  for (Range& range : text_.literal) range = {map_begin(range.begin), map_end(range.end)};
  text_.storage = std::move(output_);
  text_.bytes = text_.storage;
}

}  // namespace penstock::text
