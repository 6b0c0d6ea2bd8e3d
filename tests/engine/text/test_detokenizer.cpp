#include "engine/text/detokenizer.h"

#include <filesystem>
#include <fstream>
#include <random>
#include <sstream>

#include "tests/support/catch.h"

using namespace penstock;

namespace {

using Ids = std::vector<int32_t>;

Tokenizer load_case(const std::string& name) {
  std::string path = std::string(PENSTOCK_SOURCE_DIR) + "/tests/engine/text/data/" + name + "/tokenizer.json";
  std::ifstream file(path, std::ios::binary);
  REQUIRE(file.good());
  std::stringstream bytes;
  bytes << file.rdbuf();
  return Tokenizer(bytes.str(), path);
}

// A byte-level token for one byte, by way of a text that holds it.
Ids byte_tokens(const Tokenizer& tokenizer, const std::string& text) { return tokenizer.encode(text, false); }

bool whole_characters(const std::string& text) {
  for (size_t at = 0; at < text.size();) {
    auto lead = static_cast<unsigned char>(text[at]);
    size_t bytes = lead < 0x80 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
    if ((lead & 0xC0) == 0x80 || at + bytes > text.size()) return false;
    for (size_t i = 1; i < bytes; ++i)
      if ((static_cast<unsigned char>(text[at + i]) & 0xC0) != 0x80) return false;
    at += bytes;
  }
  return true;
}

}  // namespace

TEST_CASE("a character is emitted when its last byte has come") {
  Tokenizer tokenizer = load_case("digits_byte_level");
  Ids ids = byte_tokens(tokenizer, "\U00024B62");
  REQUIRE(ids.size() == 4);
  Detokenizer detokenizer(tokenizer);
  for (int i = 0; i < 3; ++i) CHECK(detokenizer.push(ids[i]).empty());
  CHECK(detokenizer.push(ids[3]) == "\U00024B62");
  CHECK(detokenizer.finish().empty());
}

TEST_CASE("an unfinished character is one replacement character at the end") {
  Tokenizer tokenizer = load_case("digits_byte_level");
  Ids ids = byte_tokens(tokenizer, "\U00024B62");
  Detokenizer detokenizer(tokenizer);
  for (int i = 0; i < 3; ++i) CHECK(detokenizer.push(ids[i]).empty());
  CHECK(detokenizer.finish() == "\uFFFD");
}

TEST_CASE("what cannot become a character is replaced at once") {
  Tokenizer tokenizer = load_case("digits_byte_level");
  Ids ids = byte_tokens(tokenizer, "\U00024B62");
  Detokenizer detokenizer(tokenizer);
  CHECK(detokenizer.push(ids[0]).empty());
  CHECK(detokenizer.push(byte_tokens(tokenizer, "z")[0]) == "\uFFFDz");
  CHECK(detokenizer.push(ids[3]) == "\uFFFD");
}

TEST_CASE("any ids in steps give what they give at once, in whole characters") {
  std::mt19937 random(5);
  for (const char* name : {"digits_byte_level", "llama2_byte_fallback", "gemma_byte_fallback", "metaspace_first",
                           "fallback_holes", "whitespace_no_decoder", "llama3_ignore_merges"}) {
    INFO(name);
    Tokenizer tokenizer = load_case(name);
    for (int round = 0; round < 300; ++round) {
      Ids ids(random() % 20);
      for (int32_t& id : ids) id = static_cast<int32_t>(random() % static_cast<uint32_t>(tokenizer.vocab_size() + 2));
      Detokenizer detokenizer(tokenizer);
      std::string text;
      for (int32_t id : ids) {
        std::string piece = detokenizer.push(id);
        CHECK(whole_characters(piece));
        text += piece;
      }
      text += detokenizer.finish();
      CHECK(text == tokenizer.decode(ids, true));
    }
  }
}

TEST_CASE("text of fused tokens is not held back") {
  Tokenizer tokenizer = load_case("llama2_byte_fallback");
  Detokenizer detokenizer(tokenizer);
  std::string text;
  for (int32_t id : tokenizer.encode("the river", false)) text += detokenizer.push(id);
  CHECK(text == "the river");
}

TEST_CASE("a stop string is found wherever the pieces are cut") {
  const std::vector<std::string> stops = {"aab", "END"};
  const std::string text = "caaEaabxEND";
  for (size_t cut = 0; cut <= text.size(); ++cut) {
    StopMatcher matcher(stops);
    bool stopped = matcher.push(text.substr(0, cut));
    stopped = matcher.push(text.substr(cut)) || stopped;
    CHECK(stopped);
    CHECK(matcher.text() == "caaE");
  }
  StopMatcher bytewise(stops);
  for (char c : text) bytewise.push(std::string(1, c));
  CHECK(bytewise.text() == "caaE");
}

TEST_CASE("the stop that begins first counts") {
  const std::vector<std::string> stops = {"cd", "bcde", "d"};
  StopMatcher matcher(stops);
  CHECK(matcher.push("abcdef"));
  CHECK(matcher.text() == "a");
  CHECK(matcher.push("more"));
  CHECK(matcher.text() == "a");
}

TEST_CASE("text that a stop may take back is not settled") {
  const std::vector<std::string> stops = {"<end>", "dd"};
  StopMatcher matcher(stops);
  CHECK_FALSE(matcher.push("ab<en"));
  CHECK(matcher.settled() == 2);
  CHECK_FALSE(matcher.push("d"));
  CHECK(matcher.settled() == 2);
  CHECK_FALSE(matcher.push("x"));
  CHECK(matcher.settled() == 7);
  CHECK(matcher.push("dd"));
  CHECK(matcher.text() == "ab<endx");
  CHECK(matcher.settled() == 7);
}

TEST_CASE("no stops, no end; an empty stop is refused") {
  StopMatcher matcher({});
  CHECK_FALSE(matcher.push("anything"));
  CHECK(matcher.text() == "anything");
  CHECK(matcher.settled() == 8);
  const std::vector<std::string> empty = {""};
  CHECK_THROWS_AS(StopMatcher(empty), std::invalid_argument);
}

TEST_CASE("a long stop and a long text take linear time") {
  const std::vector<std::string> stops = {std::string(500'000, 'a') + "b"};
  StopMatcher matcher(stops);
  int early = 0;
  for (int i = 0; i < 1'000'000; ++i) early += matcher.push("a");
  CHECK(early == 0);
  CHECK(matcher.push("b"));
  CHECK(matcher.text().size() == 500'000);
}
