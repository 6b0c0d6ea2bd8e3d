// The text half of a model folder: tokenizer, chat template and the special tokens that templates name.
// Immutable after construction; used by any thread.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "engine/json.h"
#include "engine/model/model_folder.h"
#include "engine/text/chat_template.h"
#include "engine/text/tokenizer.h"

namespace penstock {

class TextModel {
 public:
  // Reads tokenizer.json and what chat_files.h names out of `folder`. `template_override`: the text
  // of --chat-template FILE, empty without. A missing template is an error only when a chat is rendered.
  // Errors: Error(bad_model) naming file and field.
  TextModel(const ModelFolder& folder, const std::string& template_override);

  const Tokenizer& tokenizer() const { return tokenizer_; }
  bool has_chat_template() const { return template_ || tool_template_; }

  // messages: an array; tools: an array or null; kwargs: an object (chat_template_kwargs).
  // With tools, the template named "tool_use" is taken where there is one. kwargs win over special tokens.
  // continue_final_message: the rendered text ends with the last message's content, as transformers cuts it.
  // Errors: TemplateError.
  ChatTemplate::Rendered render_chat(const nlohmann::ordered_json& messages, const nlohmann::ordered_json& tools,
                                     const nlohmann::ordered_json& kwargs, bool add_generation_prompt,
                                     bool continue_final_message) const;

  // The text that the answer's templates were made from, for the request hash.
  const std::string& template_text() const { return template_text_; }
  // BOS, else EOS: what an empty context conditions on (lm-evaluation-harness's prefix_token_id).
  std::optional<int32_t> prefix_token() const { return prefix_token_; }

 private:
  const ChatTemplate& choose_template(bool with_tools) const;

  Tokenizer tokenizer_;
  std::optional<ChatTemplate> template_, tool_template_;
  std::string template_names_;             // those that the folder has, for messages
  std::string template_text_;
  nlohmann::ordered_json special_tokens_;  // bos_token, eos_token, … as templates see them
  std::optional<int32_t> prefix_token_;
};

}  // namespace penstock
