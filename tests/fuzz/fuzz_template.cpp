// Chat templates. Input: a template, NUL, the variables as JSON (without them: a short chat with tools).
#include "engine/text/chat_template.h"
#include "engine/text/unicode.h"
#include "kernels/error.h"
#include "tests/fuzz/invariant.h"

using namespace penstock;
using fuzz::require;

namespace {

constexpr ChatTemplate::Limits kLimits{.max_steps = 20'000, .max_output_bytes = 1 << 20};
constexpr std::string_view kChat =
    R"({"messages":[{"role":"system","content":"Be brief."},{"role":"user","content":" \u00e9\n<|end|> "},)"
    R"({"role":"assistant","content":null,"tool_calls":[{"function":{"name":"f","arguments":{"x":1.5}}}]}],)"
    R"("tools":[{"type":"function","function":{"name":"f","parameters":{"a":[1,true,null]}}}],)"
    R"("add_generation_prompt":true,"bos_token":"<s>","eos_token":"</s>","documents":null})";

void check_rendered(const ChatTemplate::Rendered& rendered) {
  require(text::is_utf8(rendered.text), "rendered text is UTF-8");
  require(static_cast<int64_t>(rendered.text.size()) <= kLimits.max_output_bytes, "the output budget holds");
  size_t last = 0;
  for (const auto& range : rendered.from_request) {
    require(range.begin >= last && range.begin < range.end, "ranges ascend and are not empty");
    last = range.end;
  }
  require(last <= rendered.text.size(), "ranges lie inside the text");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto [source, given] = fuzz::halves(fuzz::text_of(data, size));
  OrderedJson variables;
  try {
    variables = parse_ordered_json(given.empty() ? kChat : given);
  } catch (const JsonError&) {
  }
  if (!variables.is_object()) return 0;
  try {
    const ChatTemplate chat(source, "template");
    const auto rendered = chat.render(variables, kLimits);
    check_rendered(rendered);
    const bool has_clock = source.find("strftime_now") != source.npos;
    require(has_clock || chat.render(variables, kLimits).text == rendered.text, "rendering again gives the same");
  } catch (const TemplateError& error) {
    require(std::string_view(error.what()).starts_with("template:"), "the message names file and line");
  } catch (const Error& error) {
    require(error.code() == ExitCode::bad_model, "a bad template is bad_model");
  }
  return 0;
}
