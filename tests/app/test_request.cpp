#include "app/request.h"
#include "tests/support/catch.h"

using namespace penstock;

namespace {

constexpr ParseLimits kLimits{.vocab = 1000, .max_line_bytes = 4 << 20};

std::variant<Request, RecordError> parse(std::string_view line, int64_t number = 7) {
  return parse_request(line, number, kLimits);
}

Request accepted(std::string_view line, int64_t number = 7) {
  auto result = parse(line, number);
  if (auto* error = std::get_if<RecordError>(&result)) FAIL(line.substr(0, 200) << "\n" << error->message);
  return std::get<Request>(result);
}

RecordError refused(std::string_view line, int64_t number = 7) {
  auto result = parse(line, number);
  if (std::holds_alternative<Request>(result)) FAIL("accepted: " << line.substr(0, 200));
  return std::get<RecordError>(result);
}

// A bare line with one more field.
std::string bare(const std::string& field) { return R"({"prompt":"hi",)" + field + "}"; }
std::string chat(const std::string& field) { return R"({"messages":[{"role":"user","content":"hi"}],)" + field + "}"; }
std::string batch(const std::string& body, const std::string& url = "/v1/completions") {
  return R"({"custom_id":"c","method":"POST","url":")" + url + R"(","body":)" + body + "}";
}

struct Bad {
  std::string line, code, param, words;
};

void check_refused(const std::vector<Bad>& table) {
  for (const Bad& bad : table) {
    RecordError error = refused(bad.line);
    INFO(bad.line.substr(0, 200) << "\n" << error.message);
    CHECK(error.code == bad.code);
    CHECK(error.param == bad.param);
    CHECK_THAT(error.message, ContainsSubstring(bad.words));
    CHECK_THAT(error.message, ContainsSubstring("line 7: "));
    CHECK(error.line == 7);
    CHECK(error.status == 400);
    CHECK(error.message.size() < 600);
  }
}

}  // namespace

TEST_CASE("a line that is not one JSON object is refused with its byte") {
  const std::string deep(100'000, '[');
  check_refused({
      {"", "invalid_json", "", "byte 0"},
      {"   ", "invalid_json", "", "byte"},
      {"null", "invalid_json", "", "must be a JSON object, not null"},
      {"3", "invalid_json", "", "not 3"},
      {R"("text")", "invalid_json", "", "not \"text\""},
      {"[]", "invalid_json", "", "not an empty array"},
      {R"([{"prompt":"a"}])", "invalid_json", "", "not an array"},
      {R"({"prompt":"a")", "invalid_json", "", "byte 13"},  // J13
      {R"({"prompt":"a"}})", "invalid_json", "", "byte 14"},
      {R"({"prompt":"a"} {"prompt":"b"})", "invalid_json", "", "byte 15"},
      {R"({"prompt":"a",})", "invalid_json", "", "byte 14"},
      {R"({"prompt":"a"} // note)", "invalid_json", "", "byte 15"},  // J43
      {R"({'prompt':'a'})", "invalid_json", "", "byte 1"},
      {R"({prompt:"a"})", "invalid_json", "", "byte 1"},
      {R"({"prompt" "a"})", "invalid_json", "", "byte 12"},
      {R"({"prompt":"a" "n":1})", "invalid_json", "", "byte 16"},
      {R"({"prompt":"a","prompt":"b"})", "invalid_json", "", "duplicate key \"prompt\""},  // J38
      {R"({"prompt":"a","pr\u006fmpt":"b"})", "invalid_json", "", "duplicate key \"prompt\""},
      {R"({"messages":[{"role":"a","role":"b"}]})", "invalid_json", "", "duplicate key \"role\""},
      {"{\"prompt\":\"\xff\"}", "invalid_json", "", "byte 11"},      // J07
      {"{\"prompt\":\"\xc0\xaf\"}", "invalid_json", "", "byte 11"},  // J08
      {"{\"prompt\":\"\xed\xa0\x80\"}", "invalid_json", "", "byte 1"},
      {R"({"prompt":"\ud800"})", "invalid_json", "", "byte 1"},  // J09
      {R"({"prompt":"\udc00\ud800"})", "invalid_json", "", "byte 1"},
      {std::string("{\"prompt\":\"\0\"}", 13), "invalid_json", "", "byte 11"},  // J10
      {"{\"prompt\":\"\x01\"}", "invalid_json", "", "byte 11"},                 // J12
      {"{\"prompt\":\"a\nb\"}", "invalid_json", "", "byte 12"},
      {std::string("{\0\"\0", 4), "invalid_json", "", "byte 1"},                  // J06
      {"\xEF\xBB\xBF{\"prompt\":\"a\"}", "invalid_json", "", "byte order mark"},  // not at the file's start
      {deep, "invalid_json", "", "nested deeper"},                                // J16
      {R"({"prompt":)" + deep, "invalid_json", "", "nested deeper"},
      {R"({"prompt":"a","max_tokens":1e400})", "invalid_json", "", "byte"},
      {R"({"prompt":"a","temperature":NaN})", "invalid_json", "", "byte"},
      {R"({"prompt":"a","temperature":-Infinity})", "invalid_json", "", "byte"},
      {R"({"prompt":"a","max_tokens":01})", "invalid_json", "", "byte"},
      {R"({"prompt":"a","max_tokens":+1})", "invalid_json", "", "byte"},
      {R"({"prompt":"a","max_tokens":0x1})", "invalid_json", "", "byte"},
      {R"({"prompt":"a","temperature":.5})", "invalid_json", "", "byte"},
      {R"({"prompt":"a","temperature":5.})", "invalid_json", "", "byte"},
      {R"({"prompt":"a","echo":True})", "invalid_json", "", "byte"},
      {R"({"prompt":"\x41"})", "invalid_json", "", "byte"},
      {R"({"prompt":"\u00"})", "invalid_json", "", "byte"},
  });
  RecordError error = refused("{");
  CHECK_FALSE(error.batch_line);
  CHECK(error.id == "line-7");
  CHECK(refused(R"({"prompt":")" + std::string(5 << 20, 'a') + "\"}").code == "line_too_long");
}

TEST_CASE("what JSON allows is accepted") {
  CHECK(accepted(R"({"prompt":"a"})"
                 "\r")
            .id == "line-7");                                                   // J04
  CHECK(accepted("\xEF\xBB\xBF{\"prompt\":\"a\"}", 1).prompts[0].text == "a");  // J05
  CHECK(accepted(" \t{ \"prompt\" : \"a\" } ").prompts[0].text == "a");
  CHECK(accepted(R"({"prompt":"\u0000"})").prompts[0].text == std::string(1, '\0'));  // J11
  CHECK(accepted(R"({"prompt":"\ud83d\ude00\n"})").prompts[0].text == "😀\n");
  CHECK(accepted(R"({"prompt":"  "})").prompts[0].text == "  ");  // J24
  CHECK(accepted(R"({"prompt":""})").prompts[0].text == "");      // J23 is decided where tokens are known
  CHECK(accepted(R"({"prompt":")" + std::string(1 << 20, 'a') + "\"}").prompts[0].text->size() == 1 << 20);  // J14
}

TEST_CASE("bare lines take exactly one of prompt, prompt_token_ids and messages") {
  CHECK(accepted(R"({"id":"a","prompt_token_ids":[0,999]})").prompts[0].ids == std::vector<int32_t>{0, 999});
  CHECK_FALSE(accepted(R"({"prompt_token_ids":[1],"prompt":null})").prompts[0].text.has_value());
  Request request = accepted(R"({"messages":[{"role":"user","content":"hi","zeta":1,"alpha":{"b":1,"a":2}}]})");
  CHECK(request.is_chat());
  CHECK(request.prompts.empty());
  CHECK(request.messages.dump() == R"([{"role":"user","content":"hi","zeta":1,"alpha":{"b":1,"a":2}}])");
  check_refused({
      {"{}", "missing_field", "prompt", "prompt_token_ids"},  // J18
      {R"({"id":"a","prompt":null})", "missing_field", "prompt", "is needed"},
      {R"({"promt":"a"})", "unknown_parameter", "promt", "unknown field \"promt\""},
      {R"({"prompt":3})", "invalid_type", "prompt", "a string, not 3"},  // J19
      {R"({"prompt":{}})", "invalid_type", "prompt", "a string, not an object"},
      {R"({"prompt":["a"]})", "invalid_type", "prompt", "a string, not an array"},
      {R"({"prompt":"a","messages":[]})", "conflicting_fields", "messages", "only one of"},                   // J20
      {R"({"prompt":"a","prompt_token_ids":[1]})", "conflicting_fields", "prompt_token_ids", "only one of"},  // J21
      {R"({"prompt_token_ids":[]})", "invalid_value", "prompt_token_ids", "at least one token id"},
      {R"({"prompt_token_ids":[1,-1]})", "invalid_value", "prompt_token_ids[1]", "from 0 to 999, not -1"},  // J22
      {R"({"prompt_token_ids":[1000]})", "invalid_value", "prompt_token_ids[0]", "from 0 to 999, not 1000"},
      {R"({"prompt_token_ids":[1.0]})", "invalid_type", "prompt_token_ids[0]", "an integer"},
      {R"({"prompt_token_ids":["1"]})", "invalid_type", "prompt_token_ids[0]", "an integer"},
      {R"({"prompt_token_ids":[18446744073709551616]})", "invalid_value", "prompt_token_ids[0]", "an integer"},
      {R"({"prompt_token_ids":[4294967297]})", "invalid_value", "prompt_token_ids[0]", "not 4294967297"},
      {R"({"prompt_token_ids":"1"})", "invalid_type", "prompt_token_ids", "an array"},
  });
}

TEST_CASE("ids are non-empty strings that do not look like a line's own name") {
  CHECK(accepted(R"({"prompt":"a"})", 12).id == "line-12");
  CHECK(accepted(R"({"id":null,"prompt":"a"})", 12).id == "line-12");
  CHECK(accepted(R"({"id":"a\nb","prompt":"a"})").id == "a\nb");
  CHECK(accepted(R"({"id":"line-","prompt":"a"})").id == "line-");
  CHECK(accepted(R"({"id":"line-4b","prompt":"a"})").id == "line-4b");
  check_refused({
      {R"({"id":"line-3","prompt":"a"})", "invalid_value", "id", "line-N"},
      {R"({"id":3,"prompt":"a"})", "invalid_type", "id", "a string, not 3"},  // J39
      {R"({"id":{},"prompt":"a"})", "invalid_type", "id", "a string"},
      {R"({"id":"","prompt":"a"})", "invalid_value", "id", "from 1 to 512 bytes"},
      {R"({"id":")" + std::string(1 << 20, 'a') + R"(","prompt":"a"})", "invalid_value", "id", "not 1048576"},
  });
  CHECK(refused(R"({"id":"line-3","prompt":"a"})").id == "line-7");
  CHECK(refused(R"({"id":"mine","prompt":4})").id == "mine");
}

TEST_CASE("every parameter is read") {
  Parameters p = accepted(R"({"prompt":"hi","max_tokens":5,"temperature":0.5,"top_p":0.9,"min_p":0.1,"top_k":40,"n":3,
      "seed":18446744073709551615,"stop":["a","b"],"stop_token_ids":[3,4],"ignore_eos":true,"min_tokens":2,
      "presence_penalty":-2,"frequency_penalty":2,"repetition_penalty":1.5,"logit_bias":{"7":-100,"0":1.5},
      "logprobs":3,"echo":true})")
                     .parameters;
  CHECK(p.max_tokens == 5);
  CHECK(p.temperature == 0.5);
  CHECK(p.top_p == 0.9);
  CHECK(p.min_p == 0.1);
  CHECK(p.top_k == 40);
  CHECK(p.n == 3);
  CHECK(p.seed == 18446744073709551615u);
  CHECK(p.stop == std::vector<std::string>{"a", "b"});
  CHECK(p.stop_token_ids == std::vector<int32_t>{3, 4});
  CHECK(p.ignore_eos);
  CHECK(p.min_tokens == 2);
  CHECK(p.presence_penalty == -2);
  CHECK(p.frequency_penalty == 2);
  CHECK(p.repetition_penalty == 1.5);
  CHECK(p.logit_bias == std::map<int32_t, double>{{0, 1.5}, {7, -100}});
  CHECK(p.logprobs == 3);
  CHECK(p.echo);

  Request c = accepted(chat(R"("max_completion_tokens":6,"logprobs":true,"top_logprobs":2,"tools":[{"z":1,"a":2}],
      "chat_template_kwargs":{"thinking":false},"add_generation_prompt":false,"continue_final_message":true)"));
  CHECK(c.parameters.max_tokens == 6);
  CHECK(c.parameters.logprobs == 2);
  CHECK(c.tools.dump() == R"([{"z":1,"a":2}])");
  CHECK(c.template_kwargs.dump() == R"({"thinking":false})");
  CHECK_FALSE(c.add_generation_prompt);
  CHECK(c.continue_final_message);
}

TEST_CASE("null means absent") {
  Request request = accepted(bare(R"("max_tokens":null,"temperature":null,"stop":null,"logprobs":null,"n":null,
      "seed":null,"logit_bias":null,"tools":null,"suffix":null)"));
  Parameters p = request.parameters;
  CHECK_FALSE(p.max_tokens.has_value());
  CHECK_FALSE(p.temperature.has_value());
  CHECK_FALSE(p.logprobs.has_value());
  CHECK_FALSE(p.n.has_value());
  CHECK_FALSE(p.seed.has_value());
  CHECK(p.stop.empty());
  CHECK(request.tools.is_null());
}

TEST_CASE("values at the edge of their range are accepted, beyond it refused by name") {
  for (const char* field : {R"("max_tokens":1)",
                            R"("max_tokens":2147483647)",
                            R"("max_tokens":0,"echo":true)",
                            R"("temperature":0)",
                            R"("temperature":100)",
                            R"("top_p":0)",
                            R"("top_p":1)",
                            R"("top_p":1.0)",
                            R"("min_p":0)",
                            R"("min_p":1)",
                            R"("top_k":-1)",
                            R"("top_k":0)",
                            R"("n":128)",
                            R"("seed":0)",
                            R"("stop":"x")",
                            R"("stop":[])",
                            R"("min_tokens":0)",
                            R"("repetition_penalty":10)",
                            R"("logit_bias":{})",
                            R"("logprobs":0)",
                            R"("logprobs":20)",
                            R"("max_tokens":4,"max_completion_tokens":4)",
                            R"("stop_token_ids":[0,999])"})
    accepted(bare(field));
  std::string many_stops = R"("stop":["x")";
  for (int i = 0; i < 64; ++i) many_stops += R"(,"x")";
  check_refused({
      {bare(R"("max_tokens":0)"), "invalid_value", "max_tokens", "1 or more"},  // J28
      {bare(R"("max_tokens":-1)"), "invalid_value", "max_tokens", "not -1"},
      {bare(R"("max_tokens":1.5)"), "invalid_type", "max_tokens", "an integer from 0 to 2147483647, not 1.5"},
      {bare(R"("max_tokens":1.0)"), "invalid_type", "max_tokens", "not 1.0"},
      {bare(R"("max_tokens":1e2)"), "invalid_type", "max_tokens", "an integer"},
      {bare(R"("max_tokens":"10")"), "invalid_type", "max_tokens", "not \"10\""},
      {bare(R"("max_tokens":true)"), "invalid_type", "max_tokens", "not true"},
      {bare(R"("max_tokens":2147483648)"), "invalid_value", "max_tokens", "not 2147483648"},
      {bare(R"("max_tokens":9223372036854775808)"), "invalid_value", "max_tokens", "not 9223372036854775808"},
      {bare(R"("max_tokens":18446744073709551617)"), "invalid_value", "max_tokens", "an integer"},
      {bare(R"("max_tokens":4,"max_completion_tokens":5)"), "conflicting_parameters", "max_completion_tokens",
       "4 and 5"},
      {bare(R"("max_tokens":4,"min_tokens":5)"), "conflicting_parameters", "min_tokens", "above"},
      {bare(R"("temperature":-0.1)"), "invalid_value", "temperature", "from 0 to 100, not -0.1"},  // J29
      {bare(R"("temperature":"0")"), "invalid_type", "temperature", "a number"},
      {bare(R"("temperature":100.5)"), "invalid_value", "temperature", "100"},
      {bare(R"("top_p":1.0001)"), "invalid_value", "top_p", "from 0 to 1"},  // J30
      {bare(R"("top_p":-1)"), "invalid_value", "top_p", "from 0 to 1"},
      {bare(R"("min_p":1.1)"), "invalid_value", "min_p", "from 0 to 1"},
      {bare(R"("top_k":-5)"), "invalid_value", "top_k", "not -5"},  // J31
      {bare(R"("top_k":1099511627776)"), "invalid_value", "top_k", "not 1099511627776"},
      {bare(R"("seed":-1)"), "invalid_value", "seed", "not -1"},  // J32
      {bare(R"("seed":18446744073709551616)"), "invalid_type", "seed", "18446744073709551615"},
      {bare(R"("seed":1.0)"), "invalid_type", "seed", "not 1.0"},
      {bare(R"("n":0)"), "invalid_value", "n", "from 1 to 128, not 0"},  // J33
      {bare(R"("n":1000000)"), "invalid_value", "n", "from 1 to 128"},
      {bare(R"("stop":"")"), "invalid_value", "stop", "from 1 to 1024 bytes, not 0"},  // J34
      {bare(R"("stop":["a",""])"), "invalid_value", "stop[1]", "not 0"},
      {bare(R"("stop":3)"), "invalid_type", "stop", "a string or an array of strings"},
      {bare(R"("stop":["a",3])"), "invalid_type", "stop[1]", "a string, not 3"},
      {bare(R"("stop":")" + std::string(1 << 20, 'a') + "\""), "invalid_value", "stop", "not 1048576"},
      {bare(many_stops + "]"), "invalid_value", "stop", "64 strings, not 65"},
      {bare(R"("stop_token_ids":[1000])"), "invalid_value", "stop_token_ids[0]", "999"},
      {bare(R"("stop_token_ids":1)"), "invalid_type", "stop_token_ids", "an array"},
      {bare(R"("ignore_eos":1)"), "invalid_type", "ignore_eos", "true or false"},
      {bare(R"("min_tokens":-1)"), "invalid_value", "min_tokens", "not -1"},
      {bare(R"("presence_penalty":2.1)"), "invalid_value", "presence_penalty", "from -2 to 2"},
      {bare(R"("frequency_penalty":-3)"), "invalid_value", "frequency_penalty", "from -2 to 2"},
      {bare(R"("repetition_penalty":0)"), "invalid_value", "repetition_penalty", "above 0 and up to 10"},
      {bare(R"("logit_bias":{"x":1})"), "invalid_value", "logit_bias", "not \"x\""},
      {bare(R"("logit_bias":{"01":1})"), "invalid_value", "logit_bias", "not \"01\""},
      {bare(R"("logit_bias":{"1000":1})"), "invalid_value", "logit_bias", "from 0 to 999"},
      {bare(R"("logit_bias":{"99999999999999999999":1})"), "invalid_value", "logit_bias", "from 0 to 999"},
      {bare(R"("logit_bias":{"1":101})"), "invalid_value", "logit_bias.1", "from -100 to 100"},
      {bare(R"("logit_bias":[])"), "invalid_type", "logit_bias", "an object"},
      {bare(R"("logprobs":1000000)"), "invalid_value", "logprobs", "from 0 to 20"},  // J36
      {bare(R"("logprobs":true)"), "invalid_type", "logprobs", "an integer"},
      {chat(R"("logprobs":1)"), "invalid_type", "logprobs", "true or false"},
      {chat(R"("logprobs":true,"top_logprobs":21)"), "invalid_value", "top_logprobs", "from 0 to 20"},
      {chat(R"("top_logprobs":2)"), "conflicting_parameters", "top_logprobs", "needs"},
      {bare(R"("echo":1)"), "invalid_type", "echo", "true or false"},
      {bare(R"("model":3)"), "invalid_type", "model", "a string"},
  });
}

TEST_CASE("unknown fields and non-neutral values are refused, neutral ones accepted") {
  CHECK(accepted(bare(R"("model":"m","user":"u","metadata":{"a":1},"store":true,"service_tier":"auto","stream":false)"))
            .model == "m");
  accepted(chat(R"("response_format":{"type":"text"},"tool_choice":"auto")"));
  accepted(chat(R"("tool_choice":"none","tools":[])"));
  accepted(chat(R"("tools":[{"type":"function","function":{"name":"f","strict":false}},{"name":"g"}])"));
  accepted(bare(R"("response_format":{"type":"text"})"));
  check_refused({
      {bare(R"("max_token":3)"), "unknown_parameter", "max_token", "unknown field \"max_token\""},  // J37
      {bare(R"("best_of":2)"), "unknown_parameter", "best_of", "unknown field"},
      {bare(R"("":2)"), "unknown_parameter", "", "unknown field \"\""},
      {bare(R"("stream":true)"), "unsupported_parameter", "stream", "only as false"},
      {chat(R"("response_format":{"type":"json_object"})"), "unsupported_parameter", "response_format", "only as"},
      {chat(R"("response_format":"text")"), "invalid_type", "response_format", "an object"},
      {bare(R"("response_format":{"type":"json_object"})"), "unsupported_parameter", "response_format", "only as"},
      {chat(R"("response_format":{"type":"json_schema","json_schema":{"name":"a","schema":{}}})"),
       "unsupported_parameter", "response_format", "only as"},
      {chat(R"("tool_choice":"required")"), "unsupported_parameter", "tool_choice", "only as"},
      {chat(R"("tool_choice":{"type":"function","function":{"name":"f"}})"), "unsupported_parameter", "tool_choice",
       "only as"},
      {chat(R"("tools":[{"type":"function","function":{"name":"f","strict":true}}])"), "unsupported_parameter",
       "tools[0].function.strict", "only as false, not true"},
      {chat(R"("tools":[{"type":"function"},{"type":"custom","custom":{"name":"f"}}])"), "unsupported_parameter",
       "tools[1].type", "only as \"function\", not \"custom\""},
      {bare(R"("tools":[])"), "unknown_parameter", "tools", "not a field of completions"},
      {bare(R"("top_logprobs":1)"), "unknown_parameter", "top_logprobs", "not a field of completions"},
      {chat(R"("echo":true)"), "unknown_parameter", "echo", "not a field of chats"},
      {chat(R"("tools":{})"), "invalid_type", "tools", "an array"},
      {chat(R"("tools":["f"])"), "invalid_type", "tools[0]", "an object"},
      {chat(R"("chat_template_kwargs":[])"), "invalid_type", "chat_template_kwargs", "an object"},
      {chat(R"("chat_template_kwargs":{"messages":[]})"), "invalid_value", "chat_template_kwargs.messages",
       "must not set"},
      {chat(R"("continue_final_message":true,"add_generation_prompt":true)"), "conflicting_parameters",
       "continue_final_message", "exclude each other"},
  });
}

TEST_CASE("whatever would hold an answer to a form is refused by name") {
  for (const char* field : {"functions", "function_call", "guided_json", "guided_regex", "guided_choice",
                            "guided_grammar", "structured_outputs", "json_schema", "grammar", "ebnf", "regex"})
    for (auto* line : {bare, chat}) {
      const std::string name = std::string("\"") + field + "\"";
      check_refused({{line(name + R"(:{"a":1})"), "unsupported_parameter", field, name + " is not supported"}});
      accepted(line(name + ":null"));
    }
}

TEST_CASE("an object of very many keys costs linear time") {
  std::string line = R"({"messages":[{"role":"user","content":"hi")";
  for (int i = 0; i < 200'000; ++i) line += ",\"" + std::to_string(i) + "\":0";
  CHECK(accepted(line + "}]}").messages[0].size() == 200'002);  // quadratic would be 20 G comparisons
}

TEST_CASE("messages are objects with a role; text parts are joined") {
  Request request =
      accepted(R"({"messages":[{"role":"user","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]},
      {"role":"assistant","content":null,"tool_calls":[{"id":"1"}]},{"role":"tool","tool_call_id":"1","name":"f","content":""},
      {"role":"assistant"}]})");
  CHECK(request.messages[0].dump() == R"({"role":"user","content":"a\nb"})");
  CHECK(request.messages[1].dump() == R"({"role":"assistant","content":null,"tool_calls":[{"id":"1"}]})");
  CHECK(request.messages[3].dump() == R"({"role":"assistant"})");
  CHECK(request.add_generation_prompt);
  CHECK_FALSE(accepted(chat(R"("continue_final_message":true)")).add_generation_prompt);
  auto one = [](const std::string& message) { return R"({"messages":[)" + message + "]}"; };
  check_refused({
      {R"({"messages":[]})", "invalid_value", "messages", "at least one message"},
      {R"({"messages":{}})", "invalid_type", "messages", "an array"},
      {one("3"), "invalid_type", "messages[0]", "an object, not 3"},
      {one(R"({"content":"a"})"), "missing_field", "messages[0].role", "has no \"role\""},
      {one(R"({"role":null,"content":"a"})"), "invalid_type", "messages[0].role", "a string"},
      {one(R"({"role":"","content":"a"})"), "invalid_value", "messages[0].role", "non-empty"},
      {one(R"({"role":"user","content":3})"), "invalid_type", "messages[0].content", "text parts, not 3"},
      {one(R"({"role":"user","content":[3]})"), "invalid_type", "messages[0].content[0]", "an object"},
      {one(R"({"role":"user","content":[{"type":"text","text":"a"},{"type":"image_url","image_url":{}}]})"),
       "unsupported_content", "messages[0].content[1].type", "\"image_url\""},
      {one(R"({"role":"user","content":[{"text":"a"}]})"), "missing_field", "messages[0].content[0].type", "type"},
      {one(R"({"role":"user","content":[{"type":"text"}]})"), "missing_field", "messages[0].content[0].text", "text"},
  });
}

TEST_CASE("batch lines of both endpoints are read") {
  Request chat = accepted(
      batch(R"({"model":"m","messages":[{"role":"user","content":"hi"}],"max_tokens":3})", "/v1/chat/completions"));
  CHECK(chat.kind == RequestKind::batch_chat);
  CHECK(chat.id == "c");
  CHECK(chat.model == "m");
  Request text = accepted(batch(R"({"prompt":"a"})"));
  CHECK(text.kind == RequestKind::batch_completion);
  CHECK(text.prompts.at(0).text == "a");
  CHECK(accepted(batch(R"({"prompt":["a","b"]})")).prompts.at(1).text == "b");
  CHECK(accepted(batch(R"({"prompt":[1,2]})")).prompts.at(0).ids == std::vector<int32_t>{1, 2});
  Request lists = accepted(batch(R"({"prompt":[[1],[2,3]]})"));
  CHECK(lists.prompts.size() == 2);
  CHECK(lists.prompts.at(1).ids == std::vector<int32_t>{2, 3});

  std::string many = R"("a")";
  for (int i = 0; i < 99; ++i) many += R"(,"a")";
  check_refused({
      {batch(R"({"prompt":[]})"), "invalid_type", "prompt", "an array of strings"},
      {batch(R"({"prompt":["a",3]})"), "invalid_type", "prompt[1]", "a string"},
      {batch(R"({"prompt":[[1],[]]})"), "invalid_value", "prompt[1]", "at least one"},
      {batch(R"({"prompt":[1,"a"]})"), "invalid_type", "prompt[1]", "an integer"},
      {batch(R"({"prompt":{}})"), "invalid_type", "prompt", "an array of strings"},
      {batch(R"({"prompt":[)" + many + R"(],"n":21})"), "invalid_value", "n", "2048, not 2100"},
      {batch(R"({"model":"m"})"), "missing_field", "prompt", "missing"},
      {batch(R"({"model":"m"})", "/v1/chat/completions"), "missing_field", "messages", "missing"},
      {batch(R"({"prompt":"a","messages":[]})"), "unknown_parameter", "messages", "unknown field"},
      {batch(R"({"prompt":"a","id":"x"})"), "unknown_parameter", "id", "unknown field"},
      {batch("{}", "/v1/embeddings"), "unsupported_url", "url", "/v1/embeddings"},
      {R"({"custom_id":"c","method":"GET","url":"/v1/completions","body":{"prompt":"a"}})", "invalid_value", "method",
       "POST"},
      {R"({"custom_id":"c","url":"/v1/completions","body":{"prompt":"a"}})", "missing_field", "method", "missing"},
      {R"({"custom_id":"c","method":"POST","body":{"prompt":"a"}})", "missing_field", "url", "missing"},
      {R"({"custom_id":"c","method":"POST","url":"/v1/completions","body":{"prompt":"a"},"extra":1})",
       "unknown_parameter", "extra", "batch line"},
      {R"({"custom_id":"c","method":"POST","url":"/v1/completions"})", "missing_field", "body", "missing"},
      {R"({"custom_id":"c","method":"POST","url":"/v1/completions","body":"x"})", "invalid_type", "body", "an object"},
      {R"({"method":"POST","url":"/v1/completions","body":{"prompt":"a"}})", "missing_field", "custom_id", "missing"},
      {R"({"custom_id":5,"method":"POST","url":"/v1/completions","body":{}})", "invalid_type", "custom_id", "a string"},
  });
}

TEST_CASE("a batch line without id or body is no request; other faults are the request's") {
  RecordError url = refused(batch("{}", "/v1/embeddings"));
  CHECK(url.batch_line);
  CHECK(url.kind.has_value());
  CHECK(url.id == "c");
  RecordError body = refused(R"({"custom_id":"c","method":"POST"})");
  CHECK(body.batch_line);
  CHECK_FALSE(body.kind.has_value());
  CHECK(body.id == "c");
  RecordError id = refused(R"({"url":"/v1/completions","body":{}})");
  CHECK_FALSE(id.kind.has_value());
  CHECK(id.id == "line-7");
  CHECK(refused(batch(R"({"prompt":"a","n":0})")).kind == RequestKind::batch_completion);
}

TEST_CASE("scoring lines are read") {
  Request one = accepted(R"({"id":"s","context":"a","continuation":" b","model":"m"})");
  CHECK(one.kind == RequestKind::score);
  CHECK(one.continuations == std::vector<std::string>{" b"});
  CHECK_FALSE(one.continuation_is_list);
  Request many = accepted(R"({"context":"","continuation":["b","c"]})");
  CHECK(many.continuations == std::vector<std::string>{"b", "c"});
  CHECK(many.continuation_is_list);
  Request rolling = accepted(R"({"id":"r","text":"","rolling":true})");
  CHECK(rolling.kind == RequestKind::rolling);
  check_refused({
      {R"({"context":"a"})", "missing_field", "continuation", "missing"},
      {R"({"continuation":"a"})", "missing_field", "context", "missing"},
      {R"({"context":1,"continuation":"a"})", "invalid_type", "context", "a string"},
      {R"({"context":"a","continuation":""})", "invalid_value", "continuation", "non-empty"},
      {R"({"context":"a","continuation":[]})", "invalid_value", "continuation", "from 1 to"},
      {R"({"context":"a","continuation":["b",""]})", "invalid_value", "continuation[1]", "non-empty"},
      {R"({"context":"a","continuation":{}})", "invalid_type", "continuation", "an array of strings"},
      {R"({"context":"a","continuation":"b","max_tokens":1})", "unknown_parameter", "max_tokens", "a scoring line"},
      {R"({"context":"a","continuation":"b","prompt":"c"})", "unknown_parameter", "prompt", "a scoring line"},
      {R"({"text":"a"})", "missing_field", "rolling", "missing"},
      {R"({"text":"a","rolling":false})", "invalid_value", "rolling", "true"},
      {R"({"text":"a","rolling":"yes"})", "invalid_type", "rolling", "true or false"},
      {R"({"rolling":true})", "missing_field", "text", "missing"},
      {R"({"text":"a","rolling":true,"n":1})", "unknown_parameter", "n", "rolling"},
  });
}

TEST_CASE("the request's value counts, then the flag's, then the model's, then OpenAI's") {
  Request plain = accepted(R"({"prompt":"a"})");
  Request given = accepted(bare(R"("temperature":0.3,"top_p":0.4,"top_k":5,"max_tokens":6,"min_p":0.7)"));
  RequestDefaults nothing;
  Parameters p = resolve(plain, nothing);
  CHECK(p.temperature == 1);
  CHECK(p.top_p == 1);
  CHECK(p.top_k == 0);
  CHECK(p.min_p == 0);
  CHECK(p.repetition_penalty == 1);
  CHECK(p.n == 1);
  CHECK(p.max_tokens == 16);
  CHECK_FALSE(p.seed.has_value());
  CHECK_FALSE(resolve(accepted(chat(R"("n":1)")), nothing).max_tokens.has_value());

  RequestDefaults model;
  model.generation = {.temperature = 0.6, .top_p = 0.95, .min_p = 0.05, .repetition_penalty = 1.1, .top_k = 20};
  p = resolve(plain, model);
  CHECK(p.temperature == 0.6);
  CHECK(p.top_p == 0.95);
  CHECK(p.top_k == 20);
  CHECK(p.min_p == 0.05);
  CHECK(p.repetition_penalty == 1.1);

  RequestDefaults flags = model;
  flags.temperature = 0.8;
  flags.top_p = 0.85;
  flags.top_k = 9;
  flags.max_tokens = 10;
  p = resolve(plain, flags);
  CHECK(p.temperature == 0.8);
  CHECK(p.top_p == 0.85);
  CHECK(p.top_k == 9);
  CHECK(p.max_tokens == 10);
  p = resolve(given, flags);
  CHECK(p.temperature == 0.3);
  CHECK(p.top_p == 0.4);
  CHECK(p.top_k == 5);
  CHECK(p.max_tokens == 6);
  CHECK(p.min_p == 0.7);

  model.generation.do_sample = false;
  CHECK(resolve(plain, model).temperature == 0);
  CHECK(resolve(given, model).temperature == 0.3);
  flags.generation.do_sample = false;
  CHECK(resolve(plain, flags).temperature == 0.8);
}

TEST_CASE("the canonical request holds what decides the answer and nothing else") {
  auto canonical = [](const std::string& line, int64_t number = 7) {
    Request request = accepted(line, number);
    return canonical_request(request, resolve(request, {}));
  };
  std::string base = canonical(R"({"id":"a","prompt":"hi","n":2,"seed":1})");
  CHECK(canonical(R"({"seed":1, "n":2, "prompt":"hi", "id":"a"})", 9) == base);
  CHECK(canonical(R"({"id":"a","prompt":"hi","n":2,"seed":1,"model":"m","user":"u","metadata":{}})") == base);
  CHECK(canonical(R"({"id":"a","prompt":"hi","n":2,"seed":1,"temperature":1,"max_tokens":16})") == base);
  CHECK(canonical(R"({"prompt":"hi"})", 1) != canonical(R"({"prompt":"hi"})", 2));  // the seeds differ
  for (const char* other :
       {R"({"id":"b","prompt":"hi","n":2,"seed":1})", R"({"id":"a","prompt":"ho","n":2,"seed":1})",
        R"({"id":"a","prompt":"hi","n":2,"seed":2})", R"({"id":"a","prompt":"hi","n":2,"seed":1,"top_k":3})",
        R"({"id":"a","prompt":"hi","n":2,"seed":1,"stop":"x"})",
        R"({"id":"a","prompt":"hi","n":2,"seed":1,"logprobs":0})",
        R"({"id":"a","prompt":"hi","n":2,"seed":1,"ignore_eos":true})",
        R"({"id":"a","prompt":"hi","n":2,"seed":1,"min_tokens":1})",
        R"({"id":"a","prompt":"hi","n":2,"seed":1,"stop_token_ids":[1]})",
        R"({"id":"a","prompt":"hi","n":2,"seed":1,"logit_bias":{"1":1}})"})
    CHECK(canonical(other) != base);

  std::string talk = canonical(R"({"id":"a","messages":[{"role":"user","content":"hi"}],"tools":[{"b":1,"a":2}]})");
  CHECK(canonical(R"({"id":"a","tools":[{"b":1,"a":2}],"messages":[{"role":"user","content":"hi"}]})") == talk);
  CHECK(canonical(R"({"id":"a","messages":[{"role":"user","content":"hi"}],"tools":[{"a":2,"b":1}]})") != talk);
  CHECK(canonical(R"({"id":"a","messages":[{"role":"user","content":"hi"}],"tools":[{"b":1,"a":2}],
      "chat_template_kwargs":{"x":1}})") != talk);
  CHECK(canonical(R"({"id":"a","context":"c","continuation":"d"})") !=
        canonical(R"({"id":"a","context":"c","continuation":["d"]})"));
  CHECK(canonical(R"({"id":"a","text":"c","rolling":true})") != canonical(R"({"id":"a","text":"d","rolling":true})"));
}
