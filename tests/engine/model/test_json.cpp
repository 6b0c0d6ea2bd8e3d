#include "engine/json.h"

#include <ctime>

#include "tests/support/catch.h"

namespace penstock {
namespace {

using namespace std::string_literals;

struct Ignore final : JsonVisitor {
  int events = 0;
  void begin(char) override { ++events; }
  void end() override { ++events; }
  void key(const std::string&) override { ++events; }
  void value(const Json&) override { ++events; }
};

std::string repeat(const std::string& text, int times) {
  std::string all;
  for (int i = 0; i < times; ++i) all += text;
  return all;
}

struct Refused {
  std::string text;
  std::string message;
  size_t offset;
};

const Refused kRefused[] = {
    {"", "unexpected end of input", 0},
    {"  ", "unexpected end of input", 2},
    {"{", "unexpected end of input", 1},
    {"{}{}", "expected end of input", 2},
    {"{} x", "expected end of input", 3},
    {"[1,]", "unexpected ']'", 3},
    {"{\"a\":1,}", "expected string literal", 7},
    {"{'a':1}", "invalid literal", 1},
    {"// c\n1", "invalid literal", 0},
    {"NaN", "invalid literal", 0},
    {"-Infinity", "invalid number", 1},
    {"[01]", "expected ']'", 2},
    {"\"\t\"", "control character", 1},
    {"\xEF\xBB\xBF{}", "byte order mark", 0},
    {"{}\0"s, "NUL byte", 2},
    {"{}\0{\"a\":1}"s, "NUL byte", 2},
    {"\"a\0b\""s, "NUL byte", 2},
    {R"({"a":1,"a":1})", "duplicate key \"a\"", 9},
    {R"({"a":1,"\u0061":2})", "duplicate key \"a\"", 14},
    {R"({"x":[{"k":1},{"k":1,"k":{}}]})", "duplicate key \"k\"", 23},
    {R"({"\u0000":1,"\u0000":2})", "duplicate key \"\\u0000\"", 19},
    {R"("\ud800")", "surrogate", 7},
    {R"("\udc00")", "surrogate", 6},
    {R"("\ud800\u0041")", "surrogate", 12},
    {"\"\xFF\"", "ill-formed UTF-8", 1},
    {"\"\xC0\xAF\"", "ill-formed UTF-8", 1},
    {"\"\xED\xA0\x80\"", "ill-formed UTF-8", 2},
    {"\"\xF5\x80\x80\x80\"", "ill-formed UTF-8", 1},
    {"\"\xE2\x82\"", "ill-formed UTF-8", 3},
    {"[1e400]", "number overflow", 6},
    {"[-1e400]", "number overflow", 7},
    {repeat("[", 65) + repeat("]", 65), "nested deeper than 64", 64},
    {repeat("{\"a\":", 65), "nested deeper than 64", 320},
    {repeat("[", 100'000), "nested deeper than 64", 64},
    {repeat("[", 100'000) + repeat("]", 100'000), "nested deeper than 64", 64},
};

TEST_CASE("Strict JSON refuses, with the byte offset, as values and as events") {
  for (const Refused& row : kRefused) {
    CAPTURE(row.text.substr(0, 60));
    for (bool as_events : {false, true}) {
      CAPTURE(as_events);
      try {
        Ignore ignore;
        if (as_events)
          scan_json(row.text, ignore);
        else
          parse_json(row.text);
        FAIL("accepted");
      } catch (const JsonError& e) {
        CHECK_THAT(e.what(), ContainsSubstring(row.message));
        CHECK(e.byte_offset == row.offset);
      }
    }
  }
}

TEST_CASE("Strict JSON accepts what RFC 8259 allows") {
  CHECK(parse_json(" \t\r\n1 \n") == 1);
  CHECK(parse_json("\"x\"") == "x");
  CHECK(parse_json(R"(["\u0000"])").at(0) == "\0"s);
  CHECK(parse_json(R"("\ud83d\ude00")") == "\xF0\x9F\x98\x80");
  CHECK(parse_json("18446744073709551615") == UINT64_MAX);
  CHECK(parse_json("18446744073709551616").is_number_float());
  CHECK(parse_json("1.0").is_number_float());
  CHECK(parse_json("1e-400") == 0.0);
  CHECK(parse_json(R"({"a":{"k":1},"b":{"k":1}})").size() == 2);
  CHECK(parse_json(repeat("[", 64) + repeat("]", 64)).size() == 1);
  CHECK(parse_json("[[]]", 2).size() == 1);
  CHECK_THROWS_AS(parse_json("[[]]", 1), JsonError);

  Ignore ignore;
  scan_json(R"({"a":[1,null],"b":"x"})", ignore);
  CHECK(ignore.events == 9);
}

TEST_CASE("Messages about JSON are short, printable and valid UTF-8, whatever the text is") {
  const std::string texts[] = {"{" + repeat("\x1b[31m\xFF", 10'000), "[" + repeat("9", 1'000'000) + "]",
                               "{\"" + repeat("k", 1'000'000) + "\":1,\"" + repeat("k", 1'000'000) + "\":2}",
                               "\"" + repeat("\xE2\x82\xAC", 1000) + "\xFF\"", "\"\x01" + repeat("a", 1000)};
  for (const std::string& text : texts) {
    CAPTURE(text.substr(0, 20));
    try {
      parse_json(text);
      FAIL("accepted");
    } catch (const JsonError& e) {
      std::string what = e.what();
      CHECK(what.size() < 300);
      CHECK(std::none_of(what.begin(), what.end(), [](unsigned char c) { return c < 0x20; }));
      CHECK_NOTHROW(Json(what).dump());
    }
  }
}

TEST_CASE("a list of many objects is read in linear time", "[large]") {
  const std::clock_t start = std::clock();
  const std::string text = "[" + repeat("{},", 300'000) + "{}]";
  CHECK(parse_json(text).size() == 300'001);
  CHECK(parse_ordered_json(text).size() == 300'001);
  CHECK(std::clock() - start < 5 * CLOCKS_PER_SEC);
}

TEST_CASE("a text that mimics the parser's own words stays out of the message") {
  for (const char* text : {"\"a'; expected \xB2b", "\"a'; expected end of input\x01", "{\"a\":\"'; expected \xff\"}"}) {
    try {
      parse_json(text);
      FAIL("accepted");
    } catch (const JsonError& e) {
      CHECK_THAT(e.what(), !ContainsSubstring("; expected"));
      CHECK_NOTHROW(Json(e.what()).dump());
    }
  }
}

TEST_CASE("quote makes any bytes fit for a message") {
  CHECK(quote("a\"b\n") == R"("a\"b\n")");
  CHECK(quote("\xFF") == "\"\xEF\xBF\xBD\"");
  std::string euros = quote(repeat("\xE2\x82\xAC", 100));
  CHECK(euros.size() < 90);
  CHECK(euros.find("\xEF\xBF\xBD") == euros.npos);
}

}  // namespace
}  // namespace penstock
