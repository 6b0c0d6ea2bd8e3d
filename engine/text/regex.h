// Regular expressions from tokenizer files. They are written for Oniguruma and are untrusted: the pattern is checked
// and translated construct by construct into PCRE2's dialect where both agree (oniguruma_to_pcre), and matching has
// limits. Immutable; any thread may match.
#pragma once
#include <memory>
#include <string>
#include <string_view>

#include "engine/text/function_ref.h"
#include "engine/text/json_node.h"

struct pcre2_real_code_8;

namespace penstock::text {

class Regex {
 public:
  // `pattern`: {"String": "…"} taken literally, or {"Regex": "…"}.
  explicit Regex(const Node& pattern);

  // Cuts `text` (valid UTF-8) into what matched and what lies between, in order. Empty matches are reported as
  // Oniguruma's find_iter does: not directly behind another match.
  // Errors: Error(bad_model) when the limits are exceeded.
  using SpanSink = FunctionRef<void(size_t begin, size_t end, bool matched)>;
  void for_each_span(std::string_view text, SpanSink sink) const;

 private:
  struct FreeCode {
    void operator()(pcre2_real_code_8* code) const;
  };
  std::string place_;  // for messages
  std::unique_ptr<pcre2_real_code_8, FreeCode> code_;
};

// Throws Error(bad_model), by way of `node`, for constructs whose meaning differs between the two libraries.
std::string oniguruma_to_pcre(std::string_view pattern, const Node& node);

}  // namespace penstock::text
