#include "app/completion.h"

#include "tests/support/catch.h"

using namespace penstock;

namespace {

Request make_request(RequestKind kind, bool chat) {
  Request request;
  request.line = 4;
  request.id = "mine";
  request.kind = kind;
  request.model = "m";
  if (chat) request.messages = OrderedJson::array();
  return request;
}

Choice make_choice(int32_t index, const std::string& text) {
  return {.index = index,
          .text = text,
          .token_ids = {5, 6, 1},
          .logprobs = {{{"é", "é"}, -0.1f, 0, {}}, {{"b", "b"}, -2.0f, 1, {}}, {{"</s>", "</s>"}, 0.0f, 2, {}}},
          .finish_reason = "stop"};
}

Completion make_completion(int choices) {
  Completion completion;
  for (int i = 0; i < choices; ++i) completion.choices.push_back(make_choice(i, "text " + std::to_string(i)));
  completion.prompt_tokens = 7;
  completion.cached_tokens = 2;
  completion.queue_seconds = 0.5;
  completion.first_token_seconds = 1.5;
  completion.total_seconds = 2.5;
  return completion;
}

std::string format(const Request& request, const Completion& completion) {
  return format_completion(request, completion, "req_12ab", false);
}

RecordError make_error() {
  RecordError error;
  error.line = 4;
  error.id = "mine";
  error.code = "invalid_value";
  error.message = "line 4: \"n\" is wrong";
  error.param = "n";
  return error;
}

}  // namespace

TEST_CASE("a batch chat is answered with a chat.completion object") {
  CHECK(format(make_request(RequestKind::batch_chat, true), make_completion(1)) ==
        R"({"id":"batch_req_12ab","custom_id":"mine","response":{"status_code":200,"request_id":"req_12ab","body":)"
        R"({"id":"chatcmpl-12ab","object":"chat.completion","created":0,"model":"m","choices":[{"index":0,"message":)"
        R"({"role":"assistant","content":"text 0","refusal":null},"logprobs":null,"finish_reason":"stop"}],)"
        R"("usage":{"prompt_tokens":7,"completion_tokens":3,"total_tokens":10}}},"error":null})");
}

TEST_CASE("a batch completion is answered with a text_completion object") {
  CHECK(format(make_request(RequestKind::batch_completion, false), make_completion(2)) ==
        R"({"id":"batch_req_12ab","custom_id":"mine","response":{"status_code":200,"request_id":"req_12ab","body":)"
        R"({"id":"cmpl-12ab","object":"text_completion","created":0,"model":"m","choices":[)"
        R"({"index":0,"text":"text 0","logprobs":null,"finish_reason":"stop"},)"
        R"({"index":1,"text":"text 1","logprobs":null,"finish_reason":"stop"}],)"
        R"("usage":{"prompt_tokens":7,"completion_tokens":6,"total_tokens":13}}},"error":null})");
}

TEST_CASE("a bare line is answered in our own shape") {
  Request request = make_request(RequestKind::bare, false);
  CHECK(format(request, make_completion(1)) ==
        R"({"id":"mine","text":"text 0","token_ids":[5,6,1],"finish_reason":"stop",)"
        R"("usage":{"prompt_tokens":7,"completion_tokens":3},"request_id":"req_12ab"})");
  CHECK(format(request, make_completion(2)) ==
        R"({"id":"mine","choices":[{"index":0,"text":"text 0","token_ids":[5,6,1],"finish_reason":"stop"},)"
        R"({"index":1,"text":"text 1","token_ids":[5,6,1],"finish_reason":"stop"}],)"
        R"("usage":{"prompt_tokens":7,"completion_tokens":6},"request_id":"req_12ab"})");
}

TEST_CASE("log-probabilities have the completions shape for prompts and the chat shape for messages") {
  Request prompt = make_request(RequestKind::bare, false), chat = make_request(RequestKind::bare, true);
  prompt.parameters.logprobs = chat.parameters.logprobs = 0;
  CHECK(Json::parse(format(prompt, make_completion(1)))["logprobs"].dump() ==
        R"({"text_offset":[0,1,2],"token_logprobs":[-0.1,-2.0,0.0],"tokens":["é","b","</s>"],"top_logprobs":null})");
  Json content = Json::parse(format(chat, make_completion(1)))["logprobs"]["content"];
  CHECK(content[0].dump() == R"({"bytes":[195,169],"logprob":-0.1,"token":"é","top_logprobs":[]})");
  CHECK(content.size() == 3);
  Completion partial = make_completion(1);
  partial.choices[0].logprobs[0].token = {"\xEF\xBF\xBD", "\xC3"};
  CHECK(Json::parse(format(chat, partial))["logprobs"]["content"][0]["bytes"] == Json({0xC3}));

  chat.kind = RequestKind::batch_chat;
  CHECK(Json::parse(format(chat, make_completion(1)))["response"]["body"]["choices"][0]["logprobs"]["content"] ==
        content);
  Json two = Json::parse(format(prompt, make_completion(2)));
  CHECK(two["choices"][1]["logprobs"]["text_offset"] == Json({0, 1, 2}));
}

TEST_CASE("alternatives are a list for chats and a map by text for prompts, which has the token itself as well") {
  Request prompt = make_request(RequestKind::bare, false), chat = make_request(RequestKind::bare, true);
  prompt.parameters.logprobs = chat.parameters.logprobs = 2;
  Completion completion = make_completion(1);
  std::vector<TokenLogprob>& tokens = completion.choices[0].logprobs;
  tokens[0].top = {{{"é", "é"}, -0.1f}, {{"\xEF\xBF\xBD", "\xC3"}, -3}};
  tokens[1].top = {{{"\xEF\xBF\xBD", "\xC3"}, -0.5f}, {{"\xEF\xBF\xBD", "\xA9"}, -1}};
  tokens[2].logprob.reset();
  CHECK(Json::parse(format(prompt, completion))["logprobs"]["top_logprobs"].dump() ==
        R"([{"é":-0.1,"�":-3.0},{"b":-2.0,"�":-0.5},null])");
  CHECK(Json::parse(format(prompt, completion))["logprobs"]["token_logprobs"][2].is_null());
  tokens[2].logprob = 0;
  CHECK(Json::parse(format(chat, completion))["logprobs"]["content"][0]["top_logprobs"].dump() ==
        R"([{"bytes":[195,169],"logprob":-0.1,"token":"é"},{"bytes":[195],"logprob":-3.0,"token":"�"}])");
}

TEST_CASE("scores are listed by continuation; a rolling text has one") {
  Completion completion;
  completion.prompt_tokens = 9;
  completion.scores = {{-1.25, true, 2}, {-3.5, false, 4}};
  CHECK(format(make_request(RequestKind::score, false), completion) ==
        R"({"id":"mine","scores":[{"sum_logprob":-1.25,"is_greedy":true,"num_tokens":2},)"
        R"({"sum_logprob":-3.5,"is_greedy":false,"num_tokens":4}],)"
        R"("usage":{"prompt_tokens":9,"completion_tokens":0},"request_id":"req_12ab"})");
  completion.scores.resize(1);
  CHECK(format(make_request(RequestKind::rolling, false), completion) ==
        R"({"id":"mine","sum_logprob":-1.25,"num_tokens":2,)"
        R"("usage":{"prompt_tokens":9,"completion_tokens":0},"request_id":"req_12ab"})");
}

TEST_CASE("times and cached tokens appear with timings only") {
  Json bare = Json::parse(format_completion(make_request(RequestKind::bare, false), make_completion(1), "req_1", true));
  CHECK(bare["usage"]["cached_tokens"] == 2);
  CHECK(bare["timings"] == Json{{"queue_seconds", 0.5}, {"first_token_seconds", 1.5}, {"total_seconds", 2.5}});
  Json batch =
      Json::parse(format_completion(make_request(RequestKind::batch_chat, true), make_completion(1), "req_1", true));
  const Json& body = batch["response"]["body"];
  CHECK(body["created"] > 1'600'000'000);
  CHECK(body["usage"]["prompt_tokens_details"]["cached_tokens"] == 2);
  CHECK_FALSE(body.contains("timings"));  // no field of OpenAI's objects
  CHECK(batch["timings"]["total_seconds"] == 2.5);
}

TEST_CASE("an error record has the shape of its line") {
  RecordError error = make_error();
  CHECK(format_error(error, "req_12ab") ==
        R"({"id":"mine","error":{"code":"invalid_value","message":"line 4: \"n\" is wrong","param":"n","line":4},)"
        R"("request_id":"req_12ab"})");
  error.param.clear();
  error.duplicate_of = "line-2";
  CHECK(format_error(error, "req_12ab") ==
        R"({"id":"mine","error":{"code":"invalid_value","message":"line 4: \"n\" is wrong","param":null,"line":4,)"
        R"("duplicate_of":"line-2"},"request_id":"req_12ab"})");
}

TEST_CASE("an error of a batch line is an HTTP answer, or none where the line is no request") {
  RecordError error = make_error();
  error.batch_line = true;
  CHECK(format_error(error, "req_12ab") ==
        R"({"id":"batch_req_12ab","custom_id":"mine","response":null,)"
        R"("error":{"code":"invalid_value","message":"line 4: \"n\" is wrong","line":4},"request_id":"req_12ab"})");
  error.kind = RequestKind::batch_chat;
  CHECK(format_error(error, "req_12ab") ==
        R"({"id":"batch_req_12ab","custom_id":"mine","response":{"status_code":400,"request_id":"req_12ab","body":)"
        R"({"error":{"message":"line 4: \"n\" is wrong","type":"invalid_request_error","param":"n",)"
        R"("code":"invalid_value"}}},"error":null})");
  error.status = 500;
  CHECK(Json::parse(format_error(error, "req_1"))["response"]["body"]["error"]["type"] == "server_error");
}

TEST_CASE("records are one line of valid UTF-8, whatever the text holds") {
  Request request = make_request(RequestKind::bare, false);
  request.id = "a\n\"b";
  Completion completion = make_completion(1);
  completion.choices[0].text = std::string("\0\n\x7F", 3) + "\xFF é\xE2\x80\xA8";
  std::string line = format(request, completion);
  CHECK(line.find('\n') == line.npos);
  Json parsed = parse_json(line);  // strict: valid UTF-8
  CHECK(parsed["id"] == "a\n\"b");
  CHECK(parsed["text"] == std::string("\0\n\x7F", 3) + "\xEF\xBF\xBD é\xE2\x80\xA8");
  RecordError error = make_error();
  error.message = "\xFF";
  CHECK(parse_json(format_error(error, "req_1"))["error"]["message"] == "\xEF\xBF\xBD");
}
