// Which value counts: the request's, else the flag's, else generation_config.json's, else OpenAI's default.
#include <algorithm>
#include <limits>

#include "app/request.h"

namespace penstock {
namespace {

constexpr int32_t kCompletionTokens = 16;

template <class T>
std::optional<T> first_of(std::optional<T> request, std::optional<T> flag, std::optional<T> model = {}) {
  return request ? request : flag ? flag : model;
}

std::optional<int32_t> model_top_k(const GenerationDefaults& model) {
  if (!model.top_k) return {};
  return static_cast<int32_t>(std::clamp<int64_t>(*model.top_k, 0, std::numeric_limits<int32_t>::max()));
}

const char* name_of(RequestKind kind) {
  switch (kind) {
    case RequestKind::batch_chat:
      return "batch_chat";
    case RequestKind::batch_completion:
      return "batch_completion";
    case RequestKind::bare:
      return "bare";
    case RequestKind::score:
      return "score";
    case RequestKind::rolling:
      return "rolling";
  }
  return "";
}

Json parameters_json(const Parameters& p) {
  Json bias = Json::array();
  for (auto [id, value] : p.logit_bias) bias.push_back({id, value});
  auto given = [](const auto& value) { return value ? Json(*value) : Json(); };
  return {{"max_tokens", given(p.max_tokens)},
          {"temperature", given(p.temperature)},
          {"top_p", given(p.top_p)},
          {"min_p", given(p.min_p)},
          {"top_k", given(p.top_k)},
          {"n", given(p.n)},
          {"seed", given(p.seed)},
          {"stop", p.stop},
          {"stop_token_ids", p.stop_token_ids},
          {"ignore_eos", p.ignore_eos},
          {"min_tokens", p.min_tokens},
          {"presence_penalty", p.presence_penalty},
          {"frequency_penalty", p.frequency_penalty},
          {"repetition_penalty", given(p.repetition_penalty)},
          {"logit_bias", bias},
          {"logprobs", given(p.logprobs)},
          {"echo", p.echo}};
}

Json prompts_json(const std::vector<Prompt>& prompts) {
  Json all = Json::array();
  for (const Prompt& prompt : prompts) all.push_back(prompt.text ? Json(*prompt.text) : Json(prompt.ids));
  return all;
}

}  // namespace

Parameters resolve(const Request& request, const RequestDefaults& defaults) {
  const GenerationDefaults& model = defaults.generation;
  Parameters resolved = request.parameters;
  Parameters& p = resolved;
  auto model_temperature = model.do_sample ? model.temperature : std::optional<double>(0);
  p.temperature = first_of(p.temperature, defaults.temperature, model_temperature).value_or(1);
  p.top_p = first_of(p.top_p, defaults.top_p, model.top_p).value_or(1);
  p.top_k = first_of(p.top_k, defaults.top_k, model_top_k(model)).value_or(0);
  p.min_p = first_of(p.min_p, {}, model.min_p).value_or(0);
  p.repetition_penalty = first_of(p.repetition_penalty, {}, model.repetition_penalty).value_or(1);
  p.n = p.n.value_or(1);
  p.max_tokens = first_of(p.max_tokens, defaults.max_tokens);
  if (!p.max_tokens && !request.is_chat()) p.max_tokens = kCompletionTokens;
  return resolved;
}

// Messages, tools and template arguments keep the order of their keys: templates print them in that order, so it
// decides the answer. The id is in, for the seed is made of it where the request names none.
std::string canonical_request(const Request& request, const Parameters& resolved) {
  Json canonical = {{"kind", name_of(request.kind)}, {"id", request.id}};
  switch (request.kind) {
    case RequestKind::score:
      canonical["context"] = request.context;
      canonical["continuations"] = request.continuations;
      canonical["continuation_is_list"] = request.continuation_is_list;
      break;
    case RequestKind::rolling:
      canonical["text"] = request.text;
      break;
    default:
      canonical["parameters"] = parameters_json(resolved);
      if (request.is_chat()) {
        canonical["messages"] = request.messages.dump();
        canonical["tools"] = request.tools.dump();
        canonical["template_kwargs"] = request.template_kwargs.dump();
        canonical["add_generation_prompt"] = request.add_generation_prompt;
        canonical["continue_final_message"] = request.continue_final_message;
      } else {
        canonical["prompts"] = prompts_json(request.prompts);
      }
  }
  return canonical.dump();
}

}  // namespace penstock
