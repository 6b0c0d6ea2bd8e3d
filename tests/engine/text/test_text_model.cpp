#include "engine/text/text_model.h"

#include "kernels/error.h"
#include "tests/support/catch.h"
#include "tests/support/tiny_text.h"

using namespace penstock;
using namespace penstock::tests;

namespace {

const OrderedJson kNone;
const OrderedJson kHello = OrderedJson::parse(R"([{"role":"user","content":"hi"}])");

ModelFolder folder_with(const Json& config) {
  ModelFolder folder = tiny_folder();
  folder.tokenizer_config = config.is_null() ? "" : config.dump();
  return folder;
}

std::string render(const TextModel& model, const OrderedJson& messages, const OrderedJson& tools = kNone,
                   const OrderedJson& kwargs = kNone) {
  return model.render_chat(messages, tools, kwargs, false, false).text;
}

std::string continued(const std::string& source, const std::string& content) {
  TextModel model(tiny_folder(), source);
  OrderedJson messages = kHello;
  messages.push_back({{"role", "assistant"}, {"content", content}});
  return model.render_chat(messages, kNone, kNone, false, true).text;
}

}  // namespace

TEST_CASE("a chat is rendered with the special tokens of tokenizer_config.json") {
  TextModel model(tiny_folder(), "");
  CHECK(render(model, kHello) == "<s>user:hi;");
  CHECK(model.render_chat(kHello, kNone, kNone, true, false).text == "<s>user:hi;assistant:");
  CHECK(render(model, kHello, OrderedJson::parse("[{},{}]")) == "<s>user:hi;tools=2;");
  CHECK(model.template_text().find(kTinyTemplate) != std::string::npos);
  CHECK(model.prefix_token() == 0);
}

TEST_CASE("template arguments are variables and win over special tokens") {
  TextModel model(tiny_folder(),
                  "{{ bos_token }}{{ eos_token }}{{ mood }}{{ pad_token is defined }}{{ documents is none }}");
  CHECK(render(model, kHello, kNone, {{"mood", "calm"}, {"bos_token", "B"}}) == "B</s>calmFalseTrue");
}

TEST_CASE("the template comes from the override, else chat_template.jinja, else tokenizer_config.json") {
  ModelFolder folder = tiny_folder();
  folder.chat_template_jinja = "jinja";
  CHECK(render(TextModel(folder, "override"), kHello) == "override");
  CHECK(render(TextModel(folder, ""), kHello) == "jinja");
  folder.chat_template_jinja.clear();
  CHECK(render(TextModel(folder, ""), kHello) == "<s>user:hi;");
}

TEST_CASE("template files win over tokenizer_config.json, and that over chat_template.json") {
  OrderedJson tools = OrderedJson::parse("[{}]");
  ModelFolder folder = folder_with(nullptr);
  folder.chat_template_json = R"({"chat_template": "legacy"})";
  CHECK(render(TextModel(folder, ""), kHello) == "legacy");
  folder.tokenizer_config = R"({"chat_template": "config"})";
  CHECK(render(TextModel(folder, ""), kHello) == "config");
  folder.tool_use_jinja = "tool file";
  CHECK(render(TextModel(folder, ""), kHello, tools) == "tool file");
  CHECK_THROWS_WITH(render(TextModel(folder, ""), kHello), ContainsSubstring("only \"tool_use\""));
  folder.chat_template_jinja = "file";
  CHECK(render(TextModel(folder, ""), kHello) == "file");
  CHECK(render(TextModel(folder, ""), kHello, tools) == "tool file");
  CHECK(render(TextModel(folder, "override"), kHello, tools) == "override");
}

TEST_CASE("special_tokens_map.json wins unless tokenizer_config.json lists its added tokens, as in transformers") {
  std::string source =
      "{{ bos_token }}|{{ eos_token }}|{{ image_token }}|{{ boi_token }}|{{ add_bos_token is defined }}";
  Json config = {{"bos_token", "<s>"},
                 {"image_token", "<i>"},
                 {"add_bos_token", true},
                 {"extra_special_tokens", {{"boi_token", "<b>"}}}};
  ModelFolder folder = folder_with(config);
  folder.special_tokens_map = R"({"bos_token": {"content": "<m>", "lstrip": false}, "eos_token": "</m>"})";
  CHECK(render(TextModel(folder, source), kHello) == "<m>|</m>|<i>|<b>|False");
  config["added_tokens_decoder"] = Json::object();
  folder.tokenizer_config = config.dump();
  CHECK(render(TextModel(folder, source), kHello) == "<s>||<i>|<b>|False");
  folder.tokenizer_config.clear();
  CHECK(render(TextModel(folder, source), kHello) == "<m>|</m>|||False");
  folder.special_tokens_map = R"({"bos_token": 3})";
  CHECK_THROWS_WITH(TextModel(folder, source), ContainsSubstring("tiny/special_tokens_map.json: bos_token"));
}

TEST_CASE("of several templates, default is taken, and tool_use where tools are given") {
  Json plain = {{"name", "default"}, {"template", "plain"}}, tool = {{"name", "tool_use"}, {"template", "tool"}},
       rag = {{"name", "rag"}, {"template", "rag"}};
  TextModel both(folder_with({{"chat_template", Json::array({rag, tool, plain})}}), "");
  CHECK(render(both, kHello) == "plain");
  CHECK(render(both, kHello, OrderedJson::parse("[{}]")) == "tool");
  TextModel no_tools(folder_with({{"chat_template", Json::array({plain})}}), "");
  CHECK(render(no_tools, kHello, OrderedJson::parse("[{}]")) == "plain");
  TextModel other(folder_with({{"chat_template", Json::array({rag})}}), "");
  CHECK_THROWS_WITH(render(other, kHello), ContainsSubstring("only \"rag\""));
}

TEST_CASE("a missing template is an error only when a chat is rendered") {
  TextModel model(folder_with(nullptr), "");
  CHECK_FALSE(model.has_chat_template());
  CHECK_FALSE(model.prefix_token().has_value());
  CHECK_THROWS_AS(render(model, kHello), TemplateError);
}

TEST_CASE("the prefix token is BOS, else EOS") {
  CHECK(TextModel(folder_with({{"bos_token", nullptr}, {"eos_token", "</s>"}}), "").prefix_token() == 1);
  CHECK(TextModel(folder_with({{"bos_token", "<none>"}, {"eos_token", "</s>"}}), "").prefix_token() == 1);
  CHECK(TextModel(folder_with({{"bos_token", {{"content", "<s>"}}}, {"eos_token", "</s>"}}), "").prefix_token() == 0);
}

TEST_CASE("a faulty tokenizer_config.json is named with its field") {
  auto message = [](ModelFolder folder) -> std::string {
    try {
      TextModel model(folder, "");
    } catch (const Error& e) {
      CHECK(e.code() == ExitCode::bad_model);
      return e.what();
    }
    FAIL("accepted " << folder.tokenizer_config);
    return "";
  };
  ModelFolder folder = tiny_folder();
  folder.tokenizer_config = "{";
  CHECK_THAT(message(folder), ContainsSubstring("tiny/tokenizer_config.json: byte 1"));
  folder.tokenizer_config = "[]";
  CHECK_THAT(message(folder), ContainsSubstring("must be a JSON object"));
  CHECK_THAT(message(folder_with({{"bos_token", 3}})), ContainsSubstring("bos_token"));
  CHECK_THAT(message(folder_with({{"eos_token", {{"text", "x"}}}})), ContainsSubstring("eos_token"));
  CHECK_THAT(message(folder_with({{"chat_template", 3}})), ContainsSubstring("chat_template"));
  CHECK_THAT(message(folder_with({{"chat_template", Json::array({"x"})}})), ContainsSubstring("chat_template"));
  CHECK_THAT(message(folder_with({{"chat_template", "{% if %}"}})), ContainsSubstring("chat_template"));
  CHECK_THAT(message(folder_with({{"additional_special_tokens", "x"}})),
             ContainsSubstring("additional_special_tokens"));
}

TEST_CASE("continue_final_message cuts behind the last message's content") {
  CHECK(continued(kTinyTemplate, "well, ") == "<s>user:hi;<s>assistant:well, ");
  CHECK(continued(kTinyTemplate, "hi") == "<s>user:hi;<s>assistant:hi");
  // As transformers: a template that strips contents gives a stripped end.
  std::string stripping = "{% for m in messages %}{{ m.role }}:{{ m.content | trim }};{% endfor %}";
  CHECK(continued(stripping, " well, ") == "user:hi;assistant:well,");
  CHECK_THROWS_AS(continued("{{ messages[0].content }}", "well"), TemplateError);
}

TEST_CASE("what a cut leaves of the request's ranges lies inside the text") {
  TextModel model(tiny_folder(), "");
  OrderedJson messages = OrderedJson::parse(R"([{"role":"assistant","content":"abc"}])");
  auto rendered = model.render_chat(messages, kNone, kNone, false, true);
  CHECK(rendered.text == "<s>assistant:abc");
  REQUIRE_FALSE(rendered.from_request.empty());
  CHECK(rendered.from_request.back().end == rendered.text.size());
}

TEST_CASE("there must be a text to continue") {
  TextModel model(tiny_folder(), "");
  for (const char* messages : {"[]", R"([{"role":"assistant"}])", R"([{"role":"assistant","content":null}])"})
    CHECK_THROWS_AS(model.render_chat(OrderedJson::parse(messages), kNone, kNone, false, true), TemplateError);
}
