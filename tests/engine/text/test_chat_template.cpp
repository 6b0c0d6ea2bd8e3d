#include <fstream>
#include <iostream>
#include <thread>

#include "engine/text/chat_template.h"
#include "kernels/error.h"
#include "tests/support/catch.h"

namespace penstock {
namespace {

using OrderedJson = nlohmann::ordered_json;

std::string render(const std::string& source, const OrderedJson& variables = OrderedJson::object()) {
  return ChatTemplate(source, "test").render(variables).text;
}

// What a template makes of `variables` with the bytes from the request in brackets.
std::string marked(const std::string& source, const OrderedJson& variables) {
  auto rendered = ChatTemplate(source, "test").render(variables);
  std::string out;
  size_t at = 0;
  for (auto& range : rendered.from_request) {
    REQUIRE(range.begin >= at);
    REQUIRE(range.end > range.begin);
    REQUIRE(range.end <= rendered.text.size());
    out += rendered.text.substr(at, range.begin - at) + "[" +
           rendered.text.substr(range.begin, range.end - range.begin) + "]";
    at = range.end;
  }
  return out + rendered.text.substr(at);
}

std::string construction_error(const std::string& source) {
  try {
    ChatTemplate made(source, "model/chat_template.jinja");
  } catch (const Error& error) {
    CHECK(error.code() == ExitCode::bad_model);
    return error.what();
  }
  return "no error";
}

std::string render_error(const std::string& source, const OrderedJson& variables = OrderedJson::object(),
                         const ChatTemplate::Limits& limits = {}) {
  ChatTemplate made(source, "test");
  try {
    made.render(variables, limits);
  } catch (const TemplateError& error) {
    return error.what();
  }
  return "no error";
}

std::string repeat(const std::string& text, size_t times) {
  std::string out;
  while (times-- > 0) out += text;
  return out;
}

// The answer to one line of chat_template_cases.jsonl or of scripts/check_templates.py.
OrderedJson answer(const OrderedJson& question) {
  try {
    return {{"text", render(question.at("template").get<std::string>(), question.at("variables"))}};
  } catch (const TemplateError& error) {
    return {{"error", error.what()}};
  } catch (const Error& error) {
    return {{"error", error.what()}};
  }
}

}  // namespace

TEST_CASE("a template that is not UTF-8 is refused when it is read") {
  CHECK_THROWS_WITH(ChatTemplate("{{ '\xff' }}", "file"), "file: is not UTF-8");
}

TEST_CASE("templates render as jinja2 renders them", "[chat_template]") {
  std::ifstream file(PENSTOCK_SOURCE_DIR "/tests/engine/text/data/chat_template_cases.jsonl");
  std::string line;
  int cases = 0;
  for (; std::getline(file, line); cases++) {
    auto wanted = OrderedJson::parse(line);
    auto got = answer(wanted);
    INFO(line << "\ngot " << got.dump());
    if (wanted.contains("error"))
      CHECK(got.contains("error"));
    else
      CHECK(got.value("text", "an error") == wanted["text"]);
  }
  CHECK(cases > 900);
}

// Not a test: scripts/check_templates.py talks to it. Run as `tests_engine_text "[.template-driver]"`.
TEST_CASE("template driver", "[.template-driver]") {
  for (std::string line; std::getline(std::cin, line);)
    std::cout << answer(OrderedJson::parse(line)).dump() << std::endl;
  SUCCEED();
}

TEST_CASE("the output says which bytes came from the request", "[chat_template]") {
  OrderedJson variables = {{"u", "Hi<x>"},         {"w", " pad "}, {"bos_token", "<s>"},
                           {"list", {"a", "b"}},   {"n", 12},      {"d", {{"key", "val\n"}}},
                           {"long", "straße 日本"}};
  struct Case {
    std::string source, expected;
  };
  const std::vector<Case> cases = {
      {"<s>{{ u }}</s>", "<s>[Hi<x>]</s>"},
      {"{{ bos_token }}{{ u }}", "<s>[Hi<x>]"},
      {"{{ bos_token ~ u ~ 'x' }}", "<s>[Hi<x>]x"},
      {"{{ 'a' + w|trim + 'b' }}", "a[pad]b"},
      {"{{ ('<' + u + '>')[1:4] }}", "[Hi<]"},
      {"{{ ('ab' + u)[::-1] }}", "[>x<iH]ba"},
      {"{{ ('ab' + u)|upper }}", "AB[HI<X>]"},
      {"{{ long|upper }}{{ long[5] }}", "[STRASSE 日本e]"},
      {"{{ u|replace('<x>', '|end|') }}", "[Hi]|end|"},
      {"{{ 'a-b'|replace('-', u) }}", "a[Hi<x>]b"},
      {"{{ list|join(', ') }}", "[a], [b]"},
      {"{{ u.split('<')|join('<') }}", "[Hi]<[x>]"},
      {"{{ d|tojson }}", "{\"[key]\": \"[val\\n]\"}"},
      {"{{ d }}", "{'[key]': '[val\\n]'}"},
      {"{{ n }}{{ n ~ u }}", "1212[Hi<x>]"},
      {"{% set x %}<{{ u }}>{% endset %}{{ x|indent }}", "<[Hi<x>]>"},
      {"{% macro m(a) %}<{{ a }}>{% endmacro %}{{ m(u) }}", "<[Hi<x>]>"},
      {"{% for c in u %}{{ c }}.{% endfor %}", "[H].[i].[<].[x].[>]."},
      {"{{ '{}!'.format(u) }}{{ '%s!' % u }}", "[Hi<x>]![Hi<x>]!"},
      {"{{ u|e }}", "[Hi&lt;x&gt;]"},
      {"{{ namespace(a=u) }}", "<Namespace {'a': '[Hi<x>]'}>"},
      {"{% set ns = namespace(s='') %}{% for i in range(3) %}{% set ns.s = ns.s + u[i] + '-' %}{% endfor %}{{ ns.s }}",
       "[H]-[i]-[<]-"},
      {"no variables", "no variables"},
  };
  for (auto& one : cases) {
    INFO(one.source);
    CHECK(marked(one.source, variables) == one.expected);
  }
}

TEST_CASE("errors of a template name it, the line and that line's text", "[chat_template]") {
  auto error = construction_error("fine\n{% if x %}\n  {{ 1 + }}\n{% endif %}\n");
  CHECK_THAT(error, ContainsSubstring("model/chat_template.jinja:3: "));
  CHECK_THAT(error, ContainsSubstring("  {{ 1 + }}"));
  CHECK_THAT(construction_error("a\n{% include 'x' %}"), ContainsSubstring("chat_template.jinja:2: the tag 'include'"));
  CHECK_THAT(construction_error("{% import 'x' as y %}"), ContainsSubstring("'import'"));
  CHECK_THAT(construction_error("{% extends 'x' %}"), ContainsSubstring("'extends'"));
  CHECK_THAT(construction_error("\n\n{{ x|urlize }}"), ContainsSubstring(":3: the filter 'urlize' is not supported"));
  CHECK_THAT(construction_error("\n{{ x|frobnicate }}"), ContainsSubstring(":2: no filter named 'frobnicate'"));
  CHECK_THAT(construction_error("{{ '\\ud83d' }}"), ContainsSubstring("names no character"));
  CHECK_THAT(construction_error("{% for x in y %}\n{% endif %}"), ContainsSubstring(":2: "));
}

TEST_CASE("errors of a rendering name the line", "[chat_template]") {
  CHECK(render_error("a\n\n{{ raise_exception('Roles must alternate') }}") == "test:3: Roles must alternate");
  CHECK(render_error("{{ 1 }}\n{{ x.y }}") == "test:2: 'x' is undefined");
  CHECK_THAT(render_error("{{ [].append(1) }}"),
             ContainsSubstring("access to attribute 'append' of 'list' object is unsafe"));
}

TEST_CASE("strftime_now formats the present time, and its text is trusted", "[chat_template]") {
  auto rendered = ChatTemplate("{{ strftime_now('%Y-%m-%d') }}", "test").render(OrderedJson::object());
  CHECK(rendered.text.size() == 10);
  CHECK(rendered.text.substr(0, 2) == "20");
  CHECK(rendered.from_request.empty());
  CHECK(render("{{ strftime_now('%f')|length }}{{ strftime_now('%Z') }}") == "6");
}

TEST_CASE("untrusted templates end within their budgets", "[chat_template]") {
  CHECK_THAT(construction_error("{{ " + repeat("(", 100000) + repeat(")", 100000) + " }}"),
             ContainsSubstring("nested deeper"));
  CHECK_THAT(construction_error("{{ " + repeat("[", 100000)), ContainsSubstring("nested deeper"));
  CHECK_THAT(construction_error("{{ " + repeat("-", 100000) + "1 }}"), ContainsSubstring("nested deeper"));
  CHECK_THAT(construction_error("{{ " + repeat("not ", 100000) + "1 }}"), ContainsSubstring("nested deeper"));
  CHECK_THAT(construction_error("{{ 1" + repeat("+1", 100000) + " }}"), ContainsSubstring("deeper than"));
  CHECK_THAT(construction_error("{{ x" + repeat(".x", 100000) + " }}"), ContainsSubstring("deeper than"));
  CHECK_THAT(construction_error("{{ x" + repeat("|e", 100000) + " }}"), ContainsSubstring("deeper than"));
  CHECK_THAT(construction_error(repeat("{% if 1 %}", 100000)), ContainsSubstring("nested deeper"));
  CHECK_THAT(construction_error("{% set " + repeat("(", 100000)), ContainsSubstring("nested deeper"));
  auto loops = "{% for a in range(100000) %}{% for b in range(100000) %}{% endfor %}{% endfor %}";
  CHECK_THAT(render_error(loops), ContainsSubstring("too many steps"));
  CHECK_THAT(render_error("{{ range(100001) }}"), ContainsSubstring("range too big"));
  CHECK_THAT(render_error("{{ range(-9223372036854775807, 9223372036854775807) }}"),
             ContainsSubstring("range too big"));
  CHECK_THAT(render_error("{{ 'x' * 9000000000000 }}"), ContainsSubstring("longer than"));
  CHECK_THAT(render_error("{{ [1] * 9000000000000 }}"), ContainsSubstring("too many steps"));
  CHECK_THAT(render_error("{{ 'x'.ljust(9000000000000) }}"), ContainsSubstring("longer than"));
  CHECK_THAT(render_error("{{ 'x'|indent(9000000000000) }}"), ContainsSubstring("longer than"));
  CHECK_THAT(
      render_error("{% set ns = namespace(s='x') %}{% for i in range(100) %}{% set ns.s = ns.s + ns.s %}{% endfor %}"),
      ContainsSubstring("longer than"));
  CHECK_THAT(render_error("{% set ns = namespace(l=['x' * 10000000]) %}{% for i in range(1000) %}"
                          "{% set ns.l = ns.l + [ns.l[0] ~ i] %}{% endfor %}"),
             ContainsSubstring("too much text"));
  CHECK_THAT(
      render_error("{% set ns = namespace(l=[]) %}{% for i in range(100000) %}{% set ns.l = [ns.l] %}{% endfor %}"),
      ContainsSubstring("nested deeper"));
  CHECK_THAT(render_error("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}"), ContainsSubstring("recurses too deep"));
  CHECK_THAT(render_error("{% for x in [1] recursive %}{{ loop([1]) }}{% endfor %}"),
             ContainsSubstring("recurses too deep"));
  CHECK_THAT(render_error("{% set ns = namespace() %}{% set ns.me = ns %}{{ ns }}"),
             ContainsSubstring("nested too deep"));
  CHECK_THAT(render_error("{{ 9223372036854775807 + 1 }}"), ContainsSubstring("64 bits"));
  CHECK_THAT(render_error("{{ 10 ** 30 }}"), ContainsSubstring("64 bits"));
  CHECK_THAT(render_error("{{ (-9223372036854775807 - 1) // -1 }}"), ContainsSubstring("64 bits"));
  CHECK_THAT(render_error("{{ x * 10 }}", {{"x", "0123456789"}}, {.max_steps = 100, .max_output_bytes = 50}),
             ContainsSubstring("longer than 50 bytes"));
  CHECK(render("{% set ns = namespace() %}{% for i in range(20000) %}{% set ns = namespace(up=ns) %}{% endfor %}ok") ==
        "ok");
}

TEST_CASE("one template renders from several threads", "[chat_template]") {
  ChatTemplate shared("{% for m in messages %}{{ m.role|upper }}: {{ m.content ~ 1 }}\n{% endfor %}", "test");
  OrderedJson variables = {{"messages", {{{"role", "user"}, {"content", "hi"}}}}};
  std::vector<std::string> texts(4);
  std::vector<std::thread> threads;
  for (auto& text : texts)
    threads.emplace_back([&] {
      for (int i = 0; i < 200; i++) text = shared.render(variables).text;
    });
  for (auto& thread : threads) thread.join();
  for (auto& text : texts) CHECK(text == "USER: hi1\n");
}

}  // namespace penstock
