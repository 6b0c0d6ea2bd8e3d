// tokenizer.json and a text. Input: the one, NUL, the other.
#include "engine/text/detokenizer.h"
#include "engine/text/tokenizer.h"
#include "engine/text/unicode.h"
#include "kernels/error.h"
#include "tests/fuzz/invariant.h"

using namespace penstock;
using fuzz::require;

namespace {

void check_ids(const Tokenizer& tokenizer, const std::vector<int32_t>& ids) {
  for (int32_t id : ids) require(id >= 0, "ids are not negative");
  const std::string decoded = tokenizer.decode(ids, true);
  require(text::is_utf8(decoded), "decoded text is UTF-8");
  Detokenizer steps(tokenizer);
  std::string stepwise;
  for (int32_t id : ids) {
    stepwise += steps.push(id);
    require(text::is_utf8(stepwise), "no step ends inside a character");
  }
  stepwise += steps.finish();
  require(stepwise == decoded, "step by step gives the whole text");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto [file, text] = fuzz::halves(fuzz::text_of(data, size));
  if (!text::is_utf8(text)) return 0;
  try {
    const Tokenizer tokenizer(file, "tokenizer.json");
    const auto ids = tokenizer.encode(text, true);
    check_ids(tokenizer, ids);
    require(tokenizer.encode(text, true) == ids, "encoding again gives the same");
    const Tokenizer::Range whole{0, text.size()};
    check_ids(tokenizer, tokenizer.encode(text, false, {&whole, text.empty() ? size_t{0} : 1}));
    tokenizer.decode(std::vector<int32_t>{0, 1, 5, INT32_MAX, -1}, false);
  } catch (const Error& error) {
    require(error.code() == ExitCode::bad_model, "a bad tokenizer is bad_model");
    require(text::is_utf8(error.what()), "the message is UTF-8");
  }
  return 0;
}
