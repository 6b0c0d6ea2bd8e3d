#include "engine/text/text_model.h"

#include <algorithm>
#include <utility>

#include "engine/text/chat_files.h"
#include "engine/text/template_text.h"
#include "kernels/error.h"

namespace penstock {
namespace {

// transformers' trick: the tag goes behind the last message's content, and the rendered text is cut where it comes out.
// Its trailing space tells whether the template strips contents.
constexpr std::string_view kEndTag = "<<penstock: the final message ends here>> ";

std::optional<int32_t> find_prefix_token(const OrderedJson& special_tokens, const Tokenizer& tokenizer) {
  for (const char* name : {"bos_token", "eos_token"}) {
    auto text = special_tokens.find(name);
    if (text == special_tokens.end()) continue;
    if (auto id = tokenizer.token_to_id(text->get<std::string>())) return id;
  }
  return {};
}

// The last message's content, made to end with the tag. Returns what it was.
std::string tag_final_message(OrderedJson& messages) {
  if (messages.empty()) throw TemplateError("continue_final_message: there is no message to continue");
  OrderedJson& last = messages.back();
  auto content = last.is_object() ? last.find("content") : last.end();
  if (!last.is_object() || content == last.end() || !content->is_string())
    throw TemplateError("continue_final_message: the last message has no text to continue");
  std::string text = content->get<std::string>();
  *content = text + std::string(kEndTag);
  return text;
}

void cut_at_tag(ChatTemplate::Rendered& rendered, const std::string& final_text) {
  std::string_view stripped_tag = jinja::trim_right(kEndTag);
  std::string_view stripped_text = jinja::trim_left(jinja::trim_right(final_text));
  size_t tag = rendered.text.rfind(stripped_tag);
  if (tag == std::string::npos || rendered.text.find(stripped_text) == std::string::npos)
    throw TemplateError("continue_final_message: the template does not print the last message as it is");
  bool keeps_space = rendered.text.compare(tag, kEndTag.size(), kEndTag) == 0;
  rendered.text.resize(tag);
  if (!keeps_space) rendered.text.resize(jinja::trim_right(rendered.text).size());

  auto& ranges = rendered.from_request;
  std::erase_if(ranges, [&](const auto& range) { return range.begin >= rendered.text.size(); });
  if (!ranges.empty()) ranges.back().end = std::min(ranges.back().end, rendered.text.size());
}

}  // namespace

TextModel::TextModel(const ModelFolder& folder, const std::string& template_override)
    : tokenizer_(folder.tokenizer, folder.path + "/tokenizer.json") {
  Json config = text::parse_tokenizer_config(folder);
  special_tokens_ = text::read_special_tokens(folder, config);
  prefix_token_ = find_prefix_token(special_tokens_, tokenizer_);
  for (const text::NamedTemplate& found : text::find_templates(folder, config, template_override)) {
    template_names_ += (template_names_.empty() ? "" : ", ") + quote(found.name);
    auto* place = found.name == "default" ? &template_ : found.name == "tool_use" ? &tool_template_ : nullptr;
    if (!place) continue;  // a template for some other use, which nothing here asks for by name
    place->emplace(found.source, found.file);
    template_text_ += found.name + '\0' + found.source + '\0';
  }
}

const ChatTemplate& TextModel::choose_template(bool with_tools) const {
  if (with_tools && tool_template_) return *tool_template_;
  if (template_) return *template_;
  if (template_names_.empty()) throw TemplateError("the model has no chat template; --chat-template FILE gives it one");
  throw TemplateError("the model has no default chat template, only " + template_names_);
}

ChatTemplate::Rendered TextModel::render_chat(const OrderedJson& messages, const OrderedJson& tools,
                                              const OrderedJson& kwargs, bool add_generation_prompt,
                                              bool continue_final_message) const {
  const ChatTemplate& chosen = choose_template(!tools.is_null());
  OrderedJson variables = special_tokens_;
  variables["messages"] = messages;
  variables["tools"] = tools;
  variables["documents"] = nullptr;
  variables["add_generation_prompt"] = add_generation_prompt;
  if (kwargs.is_object())
    for (const auto& [name, value] : kwargs.items()) variables[name] = value;
  if (!continue_final_message) return chosen.render(variables);

  std::string final_text = tag_final_message(variables["messages"]);
  ChatTemplate::Rendered rendered = chosen.render(variables);
  cut_at_tag(rendered, final_text);
  return rendered;
}

}  // namespace penstock
