// Chat templates: a small Jinja2 interpreter, set up as Hugging Face's apply_chat_template does
// (trim_blocks, lstrip_blocks, tojson without HTML escapes and with ensure_ascii=False, raise_exception, strftime_now).
//
// A template is untrusted input: rendering has a step budget and an output budget and touches nothing outside its
// variables. Immutable after construction; render may be called from any thread.
#pragma once
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "engine/json.h"

namespace penstock {

// The template refused this conversation (raise_exception, an undefined method, a budget): an error of the record.
struct TemplateError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

class ChatTemplate {
 public:
  struct Limits {
    int64_t max_steps = 10'000'000;        // expression and statement evaluations
    int64_t max_output_bytes = 64 << 20;
  };
  struct Range { size_t begin, end; };
  struct Rendered {
    std::string text;
    std::vector<Range> from_request;  // byte ranges of `text` that came from the variables, ascending and disjoint
  };

  // Errors: Error(bad_model) with `name`, the template's line number and that line's text, for syntax errors and for
  // constructs outside the supported subset.
  ChatTemplate(std::string_view source, const std::string& name);
  ~ChatTemplate();
  ChatTemplate(ChatTemplate&&) noexcept;

  // `variables`: an object: messages, tools, documents, add_generation_prompt, bos_token, eos_token, … and whatever
  // chat_template_kwargs adds. Key order of objects is kept where the caller passes OrderedJson.
  // Errors: TemplateError with the line number.
  Rendered render(const nlohmann::ordered_json& variables, const Limits& limits) const;
  Rendered render(const nlohmann::ordered_json& variables) const { return render(variables, Limits()); }

 private:
  struct Impl;
  std::unique_ptr<const Impl> impl_;
};

}  // namespace penstock
