#include "engine/text/tokenizer_ids.h"

#include "tests/support/catch.h"
#include "tests/support/tiny_text.h"

namespace penstock {
namespace {

std::string difference(const Json& changed) {
  const TokenizerIds original(tests::tiny_tokenizer(true), "a/tokenizer.json");
  return TokenizerIds(changed.dump(), "b/tokenizer.json").difference_from(original);
}

TEST_CASE("Tokenizers that make the same ids are the same, however they are spelled") {
  Json json = parse_json(tests::tiny_tokenizer(false));
  CHECK(difference(json).empty());
  json["model"]["merges"] = Json::array({Json::array({"a", "b"})});
  json["model"].erase("type");
  json["decoder"] = nullptr;
  CHECK(difference(json).empty());
  CHECK(TokenizerIds(json.dump(), "tokenizer.json").count() == 101);
}

TEST_CASE("The first difference between two tokenizers is named") {
  const Json json = parse_json(tests::tiny_tokenizer(true));
  const auto with = [&](auto change) {
    Json changed = json;
    change(changed);
    return difference(changed);
  };
  CHECK(with([](Json& j) { j["model"]["type"] = "Unigram"; }) == "it is of kind \"Unigram\", not \"BPE\"");
  CHECK(with([](Json& j) { j["model"]["vocab"].erase("ab"), j["model"]["vocab"]["ba"] = 100; }) ==
        "its id 100 is \"ba\", not \"ab\"");
  CHECK(with([](Json& j) { j["model"]["vocab"].erase("ab"); }) == "it lacks id 100, \"ab\"");
  CHECK(with([](Json& j) { j["model"]["vocab"]["aba"] = 101; }) == "it also has id 101, \"aba\"");
  CHECK(with([](Json& j) { j["added_tokens"][1]["lstrip"] = true; }) ==
        "it finds its added token 1, \"</s>\" in another way");
  CHECK(with([](Json& j) { j["added_tokens"].erase(1); }) == "it finds its added token 1, \"</s>\" in another way");
  CHECK(with([](Json& j) { j["model"]["merges"].push_back("a a"); }) == "its merges differ from number 2 on");
}

TEST_CASE("Pieces of a unigram model have scores") {
  const char* text = R"({"model":{"type":"Unigram","unk_id":0,"vocab":[["<unk>",0],["a",-1.5],["b",-2]]}})";
  Json json = parse_json(text);
  const TokenizerIds original(text, "tokenizer.json");
  CHECK(original.count() == 3);
  CHECK(TokenizerIds(json.dump(), "tokenizer.json").difference_from(original).empty());
  json["model"]["vocab"][1][1] = -1.25;
  CHECK(TokenizerIds(json.dump(), "tokenizer.json").difference_from(original) == "its pieces have other scores");
}

TEST_CASE("A file that is no tokenizer is refused with its place") {
  for (const char* text : {"[", "{}", R"({"model":{"vocab":{"a":-1}}})", R"({"model":{"vocab":[1]}})",
                           R"({"model":{"vocab":{"a":0},"merges":[5]}})"})
    CHECK_THROWS_WITH(TokenizerIds(text, "x/tokenizer.json"), ContainsSubstring("x/tokenizer.json"));
}

}  // namespace
}  // namespace penstock
