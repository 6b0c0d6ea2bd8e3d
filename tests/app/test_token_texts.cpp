#include "app/token_texts.h"

#include "engine/json.h"
#include "tests/support/catch.h"
#include "tests/support/tiny_text.h"

using namespace penstock;
using namespace penstock::tests;

namespace {

// Like Llama 2's: "▁" for spaces, the first of which is stripped, and bytes as tokens of their own.
Tokenizer sentencepiece() {
  Json model = {{"type", "BPE"},
                {"dropout", nullptr},
                {"unk_token", nullptr},
                {"continuing_subword_prefix", nullptr},
                {"end_of_word_suffix", nullptr},
                {"fuse_unk", true},
                {"byte_fallback", true},
                {"vocab", {{"▁", 0}, {"a", 1}, {"▁a", 2}, {"b", 3}, {"<0xC3>", 4}, {"<0xA9>", 5}}},
                {"merges", Json::array({"▁ a"})}};
  Json decoders = Json::array({{{"type", "Replace"}, {"pattern", {{"String", "▁"}}}, {"content", " "}},
                               {{"type", "ByteFallback"}},
                               {{"type", "Fuse"}},
                               {{"type", "Strip"}, {"content", " "}, {"start", 1}, {"stop", 0}}});
  Json file = {{"version", "1.0"},
               {"truncation", nullptr},
               {"padding", nullptr},
               {"added_tokens", Json::array()},
               {"normalizer", nullptr},
               {"pre_tokenizer", nullptr},
               {"post_processor", nullptr},
               {"decoder", {{"type", "Sequence"}, {"decoders", decoders}}},
               {"model", model}};
  return Tokenizer(file.dump(), "test");
}

}  // namespace

TEST_CASE("a token's text depends on whether another stands before it") {
  const Tokenizer tokenizer = sentencepiece();
  CHECK(token_text(tokenizer, {}, 2).text == "a");
  CHECK(token_text(tokenizer, 3, 2).text == " a");
  CHECK(token_text(tokenizer, 3, 2).bytes == " a");
  CHECK(token_text(tokenizer, 2, 3).text == "b");
}

TEST_CASE("a part of a character shows its byte, whatever stands before it") {
  const Tokenizer tokenizer = sentencepiece();
  for (std::optional<int32_t> before : {std::optional<int32_t>(), std::optional(2), std::optional(4)}) {
    CHECK(token_text(tokenizer, before, 5).text == "\xEF\xBF\xBD");
    CHECK(token_text(tokenizer, before, 5).bytes == "\xA9");
  }
  const Tokenizer byte_level(tiny_tokenizer(false), "tiny");
  CHECK(token_text(byte_level, 98, 99).text == "\xEF\xBF\xBD");
  CHECK(token_text(byte_level, 98, 99).bytes == "\xA9");
  CHECK(token_text(byte_level, {}, 100).bytes == "ab");
}

TEST_CASE("an answer that is shown after its prompt keeps the space that stands between them") {
  const Tokenizer tokenizer = sentencepiece();
  const std::vector<int32_t> spaced = {2, 3}, joined = {3, 2};
  CHECK(sequel_text(tokenizer, 3, spaced, tokenizer.decode(spaced, true)) == " ab");
  CHECK(sequel_text(tokenizer, 3, joined, tokenizer.decode(joined, true)) == "b a");
  CHECK(sequel_text(tokenizer, 3, {}, "") == "");
  CHECK(sequel_text(tokenizer, 4, std::vector{5}, "\xEF\xBF\xBD") == "\xEF\xBF\xBD");
}

TEST_CASE("offsets count the characters that are certain before a token") {
  const Tokenizer tokenizer(tiny_tokenizer(false), "tiny");
  const std::vector<int32_t> ids = {0, tiny_id('x'), 98, 99, 100, tiny_id('y')};
  CHECK(token_offsets(tokenizer, ids) == std::vector<int64_t>{0, 0, 1, 1, 2, 4});
  CHECK(count_characters("aé☀") == 3);
}

TEST_CASE("a token begins after the characters that stayed unfinished before it") {
  const Tokenizer tokenizer(tiny_tokenizer(false), "tiny");
  const std::vector<int32_t> ids = {98, tiny_id('x'), 98, 98, 100, 99, tiny_id('y')};
  CHECK(tokenizer.decode(ids, false) == "�x��ab�y");
  CHECK(token_offsets(tokenizer, ids) == std::vector<int64_t>{0, 1, 2, 2, 4, 6, 7});
}

TEST_CASE("offsets after a prompt count the space that stands between them") {
  const Tokenizer tokenizer = sentencepiece();
  CHECK(token_offsets(tokenizer, std::vector{2, 3, 2}) == std::vector<int64_t>{0, 1, 2});
  CHECK(sequel_offsets(tokenizer, 3, std::vector{2, 3, 2}) == std::vector<int64_t>{0, 2, 3});
  CHECK(sequel_offsets(tokenizer, 3, std::vector{3, 2}) == std::vector<int64_t>{0, 1});
  CHECK(sequel_offsets(tokenizer, 3, {}).empty());
}
