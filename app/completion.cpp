#include "app/completion.h"

#include <charconv>
#include <ctime>

namespace penstock {
namespace {

// Strings were valid UTF-8 when they were read; messages may quote what was not.
std::string line_of(const OrderedJson& record) {
  return record.dump(-1, ' ', false, OrderedJson::error_handler_t::replace);
}

// The double with the float's shortest digits: -0.1 and not -0.10000000149011612.
double shortest(float value) {
  char digits[32];
  auto end = std::to_chars(digits, digits + sizeof digits, value).ptr;
  double result = value;
  std::from_chars(digits, end, result);
  return result;
}

int64_t count_tokens(const Completion& completion) {
  int64_t tokens = 0;
  for (const Choice& choice : completion.choices) tokens += static_cast<int64_t>(choice.token_ids.size());
  return tokens;
}

OrderedJson seconds_json(const Completion& completion) {
  return {{"queue_seconds", completion.queue_seconds},
          {"first_token_seconds", completion.first_token_seconds},
          {"total_seconds", completion.total_seconds}};
}

// The likeliest tokens by their text, and the one that stands there. Texts may be equal where tokens are not: the
// likeliest of them counts.
OrderedJson top_by_text(const TokenLogprob& token) {
  OrderedJson top = OrderedJson::object();
  auto add = [&](const std::string& text, float logprob) {
    if (!top.contains(text)) top[text] = shortest(logprob);
  };
  for (const LikelyToken& likely : token.top) add(likely.token.text, likely.logprob);
  add(token.token.text, *token.logprob);
  return top;
}

OrderedJson completion_logprobs(const Choice& choice, bool with_top) {
  OrderedJson tokens = OrderedJson::array(), logprobs = tokens, tops = tokens, offsets = tokens;
  for (const TokenLogprob& token : choice.logprobs) {
    tokens.push_back(token.token.text);
    logprobs.push_back(token.logprob ? OrderedJson(shortest(*token.logprob)) : OrderedJson());
    if (with_top) tops.push_back(token.logprob ? top_by_text(token) : OrderedJson());
    offsets.push_back(token.offset);
  }
  return {{"tokens", std::move(tokens)},
          {"token_logprobs", std::move(logprobs)},
          {"top_logprobs", with_top ? std::move(tops) : OrderedJson()},
          {"text_offset", std::move(offsets)}};
}

OrderedJson chat_token(const TokenText& token, float logprob) {
  OrderedJson bytes = OrderedJson::array();
  for (unsigned char byte : token.bytes) bytes.push_back(byte);
  return {{"token", token.text}, {"logprob", shortest(logprob)}, {"bytes", std::move(bytes)}};
}

OrderedJson chat_logprobs(const Choice& choice) {
  OrderedJson content = OrderedJson::array();
  for (const TokenLogprob& token : choice.logprobs) {
    OrderedJson& entry = content.emplace_back(chat_token(token.token, token.logprob.value()));
    OrderedJson& top = entry["top_logprobs"] = OrderedJson::array();
    for (const LikelyToken& likely : token.top) top.push_back(chat_token(likely.token, likely.logprob));
  }
  return {{"content", std::move(content)}, {"refusal", nullptr}};
}

OrderedJson logprobs_json(const Request& request, const Choice& choice) {
  if (!request.parameters.logprobs) return nullptr;
  return request.is_chat() ? chat_logprobs(choice) : completion_logprobs(choice, *request.parameters.logprobs > 0);
}

OrderedJson batch_choice(const Request& request, const Choice& choice) {
  OrderedJson json = {{"index", choice.index}};
  if (request.is_chat())
    json["message"] = {{"role", "assistant"}, {"content", choice.text}, {"refusal", nullptr}};
  else
    json["text"] = choice.text;
  json["logprobs"] = logprobs_json(request, choice);
  json["finish_reason"] = choice.finish_reason;
  return json;
}

OrderedJson batch_body(const Request& request, const Completion& completion, const std::string& request_id,
                       bool timings) {
  bool chat = request.is_chat();
  std::string hash = request_id.starts_with("req_") ? request_id.substr(4) : request_id;
  OrderedJson choices = OrderedJson::array();
  for (const Choice& choice : completion.choices) choices.push_back(batch_choice(request, choice));
  int64_t generated = count_tokens(completion);
  OrderedJson usage = {{"prompt_tokens", completion.prompt_tokens},
                       {"completion_tokens", generated},
                       {"total_tokens", completion.prompt_tokens + generated}};
  if (timings) usage["prompt_tokens_details"] = {{"cached_tokens", completion.cached_tokens}};
  return {{"id", (chat ? "chatcmpl-" : "cmpl-") + hash},
          {"object", chat ? "chat.completion" : "text_completion"},
          {"created", timings ? static_cast<int64_t>(std::time(nullptr)) : 0},
          {"model", request.model},
          {"choices", std::move(choices)},
          {"usage", std::move(usage)}};
}

OrderedJson batch_record(const std::string& id, int status, const std::string& request_id, OrderedJson body) {
  return {{"id", "batch_" + request_id},
          {"custom_id", id},
          {"response", {{"status_code", status}, {"request_id", request_id}, {"body", std::move(body)}}},
          {"error", nullptr}};
}

void add_bare_choices(OrderedJson& record, const Request& request, const Completion& completion) {
  auto fill = [&](OrderedJson& json, const Choice& choice) {
    json["text"] = choice.text;
    json["token_ids"] = choice.token_ids;
    json["finish_reason"] = choice.finish_reason;
    if (request.parameters.logprobs) json["logprobs"] = logprobs_json(request, choice);
  };
  if (completion.choices.size() == 1) return fill(record, completion.choices[0]);
  OrderedJson& choices = record["choices"] = OrderedJson::array();
  for (const Choice& choice : completion.choices)
    fill(choices.emplace_back(OrderedJson{{"index", choice.index}}), choice);
}

void add_scores(OrderedJson& record, const Request& request, const Completion& completion) {
  if (request.kind == RequestKind::rolling) {
    record["sum_logprob"] = completion.scores[0].sum_logprob;
    record["num_tokens"] = completion.scores[0].num_tokens;
    return;
  }
  OrderedJson& scores = record["scores"] = OrderedJson::array();
  for (const Score& score : completion.scores)
    scores.push_back(
        {{"sum_logprob", score.sum_logprob}, {"is_greedy", score.is_greedy}, {"num_tokens", score.num_tokens}});
}

OrderedJson own_record(const Request& request, const Completion& completion, const std::string& request_id,
                       bool timings) {
  OrderedJson record = {{"id", request.id}};
  if (request.kind == RequestKind::bare)
    add_bare_choices(record, request, completion);
  else
    add_scores(record, request, completion);
  record["usage"] = {{"prompt_tokens", completion.prompt_tokens}, {"completion_tokens", count_tokens(completion)}};
  if (timings) {
    record["usage"]["cached_tokens"] = completion.cached_tokens;
    record["timings"] = seconds_json(completion);
  }
  record["request_id"] = request_id;
  return record;
}

OrderedJson text_or_null(const std::string& text) { return text.empty() ? OrderedJson() : OrderedJson(text); }

}  // namespace

std::string format_completion(const Request& request, const Completion& completion, const std::string& request_id,
                              bool timings) {
  bool batch = request.kind == RequestKind::batch_chat || request.kind == RequestKind::batch_completion;
  if (!batch) return line_of(own_record(request, completion, request_id, timings));
  OrderedJson record = batch_record(request.id, 200, request_id, batch_body(request, completion, request_id, timings));
  if (timings) record["timings"] = seconds_json(completion);  // beside the body, which has OpenAI's fields alone
  return line_of(record);
}

std::string format_error(const RecordError& error, const std::string& request_id) {
  OrderedJson details = {{"code", error.code}, {"message", error.message}};
  if (error.batch_line && error.kind) {
    details = {{"message", error.message},
               {"type", error.status >= 500 ? "server_error" : "invalid_request_error"},
               {"param", text_or_null(error.param)},
               {"code", error.code}};
  } else {
    if (!error.batch_line) details["param"] = text_or_null(error.param);
    details["line"] = error.line;
  }
  if (!error.duplicate_of.empty()) details["duplicate_of"] = error.duplicate_of;

  if (!error.batch_line) return line_of({{"id", error.id}, {"error", std::move(details)}, {"request_id", request_id}});
  if (error.kind) return line_of(batch_record(error.id, error.status, request_id, {{"error", std::move(details)}}));
  return line_of({{"id", "batch_" + request_id},
                  {"custom_id", error.id},
                  {"response", nullptr},
                  {"error", std::move(details)},
                  {"request_id", request_id}});  // the journal looks for it, and there is no response to hold it
}

}  // namespace penstock
