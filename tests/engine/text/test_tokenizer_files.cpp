// tokenizer.json as untrusted input: every refusal names the file and the place in it.
#include <functional>

#include "engine/json.h"
#include "engine/text/tokenizer.h"
#include "tests/support/catch.h"

using namespace penstock;

namespace {

Json added(int64_t id, const std::string& content) {
  return {{"id", id},        {"content", content},  {"single_word", false}, {"lstrip", false},
          {"rstrip", false}, {"normalized", false}, {"special", true}};
}

Json small_file() {
  return {{"version", "1.0"},
          {"truncation", nullptr},
          {"padding", nullptr},
          {"added_tokens", {added(4, "<s>")}},
          {"normalizer", nullptr},
          {"pre_tokenizer", nullptr},
          {"post_processor", nullptr},
          {"decoder", nullptr},
          {"model",
           {{"type", "BPE"},
            {"dropout", nullptr},
            {"unk_token", nullptr},
            {"vocab", {{"a", 0}, {"b", 1}, {"ab", 2}, {"c", 3}}},
            {"merges", {"a b"}}}}};
}

std::string complaint(const std::string& text) {
  try {
    Tokenizer tokenizer(text, "dir/tokenizer.json");
  } catch (const Error& e) {
    CHECK(e.code() == ExitCode::bad_model);
    CHECK_THAT(e.what(), ContainsSubstring("dir/tokenizer.json"));
    return e.what();
  }
  return "accepted";
}

std::string complaint_about(const char* pointer, const Json& value) {
  Json file = small_file();
  file[Json::json_pointer(pointer)] = value;
  return complaint(file.dump());
}

Json pieces(std::initializer_list<std::pair<const char*, Json>> list) {
  Json all = Json::array();
  for (const auto& [piece, score] : list) all.push_back(Json::array({piece, score}));
  return all;
}

Json split(const std::string& pattern) {
  return {{"type", "Split"}, {"pattern", {{"Regex", pattern}}}, {"behavior", "Isolated"}, {"invert", false}};
}

}  // namespace

TEST_CASE("the small file is sound") {
  CHECK(complaint(small_file().dump()) == "accepted");
  Tokenizer tokenizer(small_file().dump(), "t");
  CHECK(tokenizer.encode("abc<s>x", true) == std::vector<int32_t>{2, 3, 4});
  CHECK(tokenizer.decode(std::vector<int32_t>{2, 3, 4}, false) == "ab c <s>");
}

// Expected ids from the tokenizers library, 0.23.
TEST_CASE("merges may cross the mark of a space") {
  auto ids = [](const Json& merges, const char* text) {
    Json file = small_file();
    file["added_tokens"] = Json::array();
    file["model"]["vocab"] = {{"a", 0}, {"b", 1}, {"▁", 2}, {"ab", 3}, {"▁▁", 4}, {"▁a", 5}, {"b▁", 6}, {"b▁a", 7}};
    file["model"]["merges"] = merges;
    return Tokenizer(file.dump(), "t").encode(text, false);
  };
  using Ids = std::vector<int32_t>;
  CHECK(ids({"▁ ▁", "▁ a", "a b"}, "ab▁▁▁ab▁a▁") == Ids{3, 4, 5, 1, 5, 2});
  CHECK(ids({"b ▁", "b▁ a", "▁ ▁", "▁ a", "a b"}, "ab▁▁▁ab▁a▁") == Ids{0, 6, 4, 0, 7, 2});
  CHECK(ids({"b ▁a", "▁ ▁", "▁ a", "a b"}, "ab▁▁▁ab▁a▁") == Ids{3, 4, 5, 7, 2});
}

TEST_CASE("files that are not JSON are refused") {
  CHECK_THAT(complaint(""), ContainsSubstring("byte 0"));
  CHECK_THAT(complaint("{\"version\":"), ContainsSubstring("byte"));
  CHECK_THAT(complaint("[]"), ContainsSubstring("must be an object"));
  CHECK_THAT(complaint(R"({"version":"1.0","version":"1.0"})"), ContainsSubstring("duplicate key"));
  CHECK_THAT(complaint(std::string((256 << 20) + 1, ' ')), ContainsSubstring("larger than 256 MiB"));
  std::string file = small_file().dump();
  for (size_t length = 0; length < file.size(); ++length) CHECK(complaint(file.substr(0, length)) != "accepted");
}

TEST_CASE("replacements in a row must not fill the memory") {
  Json grow = {{"type", "Replace"}, {"pattern", {{"String", "a"}}}, {"content", std::string(1000, 'a')}};
  Json file = small_file();
  file["normalizer"] = {{"type", "Sequence"}, {"normalizers", Json::array_t(20, grow)}};
  CHECK_THROWS_WITH(Tokenizer(file.dump(), "t").encode("aaaa", false),
                    ContainsSubstring("normalizer: makes more than"));
  file["normalizer"] = nullptr;
  file["decoder"] = {{"type", "Sequence"}, {"decoders", Json::array_t(20, grow)}};
  CHECK_THROWS_WITH(Tokenizer(file.dump(), "t").decode(std::vector<int32_t>{0}, false),
                    ContainsSubstring("decoder: Replace makes more than"));
}

TEST_CASE("what would change the ids and is not known is refused") {
  struct Case {
    const char* pointer;
    Json value;
    const char* complaint;
  };
  const Json kText = {{"Sequence", {{"id", "A"}, {"type_id", 0}}}};
  const Case cases[] = {
      {"/version", "2.0", "version must be 1.0"},
      {"/truncation", {{"max_length", 5}}, "truncation is not supported"},
      {"/padding", {{"pad_id", 0}}, "padding is not supported"},
      {"/surprise", 1, "unknown field \"surprise\""},
      {"/model/surprise", 1, "model has the unknown field"},
      {"/model", nullptr, "has no \"model\""},
      {"/model/type", "WordPiece", "model is of type \"WordPiece\""},
      {"/model/type", "Unigram", "model.vocab must be an array"},
      {"/model",
       {{"type", "Unigram"}, {"vocab", pieces({{"a", "b"}})}},
       "model.vocab[0] must be a piece and its score"},
      {"/model", {{"type", "Unigram"}, {"vocab", pieces({{"a", 0}, {"a", 0}})}}, "model.vocab[1] is the second \"a\""},
      {"/model",
       {{"type", "Unigram"}, {"unk_id", 1}, {"vocab", pieces({{"a", 0}})}},
       "model.unk_id is not an id of the"},
      {"/model/dropout", 0.1, "model.dropout is not supported"},
      {"/model/continuing_subword_prefix", "##", "model.continuing_subword_prefix is not supported"},
      {"/model/end_of_word_suffix", "</w>", "model.end_of_word_suffix is not supported"},
      {"/model/unk_token", "<unk>", "model.unk_token is not in the vocabulary"},
      {"/model/fuse_unk", 1, "model.fuse_unk must be true or false"},
      {"/added_tokens", {added(4, std::string(2000, 'x'))}, "added_tokens[0] has a content of more than 1024 bytes"},
      {"/model",
       {{"type", "Unigram"}, {"vocab", Json::array({Json::array({std::string(2000, 'x'), 0})})}},
       "model.vocab[0] has more than 1024 bytes"},
      {"/normalizer", {{"type", "BertNormalizer"}}, "normalizer is of type \"BertNormalizer\""},
      {"/normalizer", {{"type", "NFC"}, {"x", 1}}, "normalizer has the unknown field"},
      {"/normalizer", {{"type", "Precompiled"}, {"precompiled_charsmap", "?"}}, "charsmap is not base64"},
      {"/normalizer", {{"type", "Precompiled"}, {"precompiled_charsmap", "BAAAAA=="}}, "is not a character map"},
      {"/pre_tokenizer", {{"type", "Punctuation"}}, "pre_tokenizer is of type \"Punctuation\""},
      {"/post_processor",
       {{"type", "TemplateProcessing"}, {"single", {kText, kText}}, {"special_tokens", Json::object()}},
       "post_processor.single[1] is the text a second time"},
      {"/model/merges/0", std::string(100'000, 'x') + " \x1b[31m", "x\"…, which is not in the vocabulary"},
      {"/post_processor", {{"type", "Other"}}, "post_processor is of type \"Other\""},
      {"/decoder", {{"type", "CTC"}}, "decoder is of type \"CTC\""},
      {"/decoder",
       {{"type", "Sequence"}, {"decoders", {{{"type", "Fuse"}}, {{"type", "X"}}}}},
       "decoders[1] is of type \"X\""},
  };
  for (const Case& c : cases) CHECK_THAT(complaint_about(c.pointer, c.value), ContainsSubstring(c.complaint));
  for (const char* harmless : {"/model/continuing_subword_prefix", "/model/end_of_word_suffix"})
    CHECK(complaint_about(harmless, "") == "accepted");
  CHECK(complaint_about("/model/dropout", 0.0) == "accepted");
}

TEST_CASE("vocabularies and merges are checked") {
  for (Json id : {Json(-1), Json(int64_t{1} << 31), Json(1.5), Json("1"), Json(nullptr), Json(UINT64_MAX)})
    CHECK_THAT(complaint_about("/model/vocab/c", id), ContainsSubstring("model.vocab gives \"c\" an id that is not"));
  CHECK_THAT(complaint_about("/model/vocab/c", 0), ContainsSubstring("gives the id 0 to both \"a\" and \"c\""));
  CHECK_THAT(complaint_about("/model/vocab", Json::array()), ContainsSubstring("model.vocab must be an object"));
  CHECK_THAT(complaint_about("/model/merges", "a b"), ContainsSubstring("model.merges must be an array"));
  for (Json merge : {Json("ab"), Json("a b c"), Json(""), Json(5), Json({"a"}), Json({"a", "b", "c"}), Json({"a", 1})})
    CHECK_THAT(complaint_about("/model/merges/0", merge), ContainsSubstring("model.merges[0] must be"));
  for (Json merge : {Json("a x"), Json("x a"), Json("a c"), Json({"a", "c"}), Json(" a")})
    CHECK_THAT(complaint_about("/model/merges/0", merge), ContainsSubstring("is not in the vocabulary"));
}

TEST_CASE("ids may have gaps, up to the largest id") {
  Json file = small_file();
  file["model"]["vocab"]["c"] = INT32_MAX - 1;
  Tokenizer tokenizer(file.dump(), "t");
  CHECK(tokenizer.vocab_size() == INT32_MAX);
  CHECK(tokenizer.encode("c", false) == std::vector<int32_t>{INT32_MAX - 1});
  CHECK(tokenizer.id_to_token(3).empty());
}

TEST_CASE("added tokens are checked") {
  CHECK_THAT(complaint_about("/added_tokens/0/content", ""), ContainsSubstring("added_tokens[0] has an empty content"));
  CHECK_THAT(complaint_about("/added_tokens/0/id", -1), ContainsSubstring("added_tokens[0].id must be an integer"));
  CHECK_THAT(complaint_about("/added_tokens/0/id", 9),
             ContainsSubstring("the id 9, but the vocabulary's contents make it 4"));
  CHECK_THAT(complaint_about("/added_tokens/0", added(3, "<s>")), ContainsSubstring("make it 4"));
  CHECK_THAT(complaint_about("/added_tokens/0", added(2, "c")), ContainsSubstring("make it 3"));
  CHECK_THAT(complaint_about("/added_tokens/1", added(4, "<s>")), ContainsSubstring("a second time"));
  CHECK_THAT(complaint_about("/added_tokens/1", added(4, "<t>")), ContainsSubstring("make it 5"));
  CHECK_THAT(complaint_about("/added_tokens/0/lstrip", nullptr), ContainsSubstring("has no \"lstrip\""));
  CHECK(complaint_about("/added_tokens/1", added(5, "<t>")) == "accepted");
  CHECK(complaint_about("/added_tokens/1", added(3, "c")) == "accepted");

  Json file = small_file();
  file["model"]["vocab"]["c"] = 4;  // where the library would number <s>
  CHECK_THAT(complaint(file.dump()), ContainsSubstring("which another token has"));
  file = small_file();
  file["normalizer"] = {{"type", "Lowercase"}};
  file["added_tokens"] = {added(4, "<S>"), added(5, "<s>")};
  for (Json& token : file["added_tokens"]) token["normalized"] = true;
  CHECK_THAT(complaint(file.dump()), ContainsSubstring("two tokens that the normalizer makes \"<s>\""));
  file["normalizer"] = {{"type", "Replace"}, {"pattern", {{"String", "<s>"}}}, {"content", ""}};
  CHECK_THAT(complaint(file.dump()), ContainsSubstring("which the normalizer makes empty"));
}

TEST_CASE("pre-tokenizers that cannot be followed are refused") {
  CHECK_THAT(complaint_about("/pre_tokenizer", split("\\é")), ContainsSubstring("a backslash before \"é\""));
  Json byte_level = {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", true}, {"use_regex", false}};
  Json sequence = {{"type", "Sequence"}, {"pretokenizers", {byte_level, split("a")}}};
  CHECK_THAT(complaint_about("/pre_tokenizer", sequence),
             ContainsSubstring("pretokenizers[1] (\"Split\") comes after ByteLevel"));
  Json behavior = split("a");
  behavior["behavior"] = "Sideways";
  CHECK_THAT(complaint_about("/pre_tokenizer", behavior),
             ContainsSubstring("pre_tokenizer.behavior is the unknown behavior"));
  for (const char* pattern : {"(",     "[a",         R"(\p{Klingon})", R"(\K)",  R"(\C)", R"(\1)",   R"(\b)",
                              R"(\h)", R"(\R)",      "[a[bc]]",        "[a&&b]", "[]a]",  R"([\W])", "(?<n>a)",
                              "(?#c)", "(*ACCEPT)a", "a{2}+",          "a{,2}",  "(?1)",  "(?C)",    "a\\"})
    CHECK_THAT(complaint_about("/pre_tokenizer", split(pattern)), ContainsSubstring("pre_tokenizer.pattern regex"));
}

TEST_CASE("a regex with nested quantifiers ends with an error, not with a hang") {
  Json file = small_file();
  file["pre_tokenizer"] = split("(a+)+(?=c)|(?:a|a)*(?=c)");
  Tokenizer tokenizer(file.dump(), "t");
  CHECK(tokenizer.encode("aac", false).size() == 3);
  CHECK_THROWS_WITH(tokenizer.encode(std::string(5000, 'a'), false), ContainsSubstring("the regex gave up"));
}

TEST_CASE("templates are checked") {
  Json processor = {
      {"type", "TemplateProcessing"},
      {"single", {{{"SpecialToken", {{"id", "<s>"}, {"type_id", 0}}}}, {{"Sequence", {{"id", "A"}, {"type_id", 0}}}}}},
      {"pair", Json::array()},
      {"special_tokens", {{"<s>", {{"id", "<s>"}, {"ids", {4}}, {"tokens", {"<s>"}}}}}}};
  CHECK(complaint_about("/post_processor", processor) == "accepted");
  Json twice = {{"type", "Sequence"}, {"processors", {processor, processor}}};
  CHECK_THAT(complaint_about("/post_processor", twice),
             ContainsSubstring("processors[1] (\"TemplateProcessing\") follows another"));
  Json missing = processor;
  missing["special_tokens"] = Json::object();
  CHECK_THAT(complaint_about("/post_processor", missing), ContainsSubstring("special_tokens has no \"<s>\""));
  Json second = processor;
  second["single"][1]["Sequence"]["id"] = "B";
  CHECK_THAT(complaint_about("/post_processor", second), ContainsSubstring("must be A"));
  Json bad_id = processor;
  bad_id["special_tokens"]["<s>"]["ids"] = {-4};
  CHECK_THAT(complaint_about("/post_processor", bad_id), ContainsSubstring("ids[0] must be an integer"));
}

TEST_CASE("no single change of a value crashes the reader") {
  const Json replacements[] = {nullptr,          true,         -1, 1e300, "x", Json::array(), Json::object(),
                               Json::array({1}), {{"type", 3}}};
  Json file = small_file();
  file["normalizer"] = {{"type", "Sequence"},
                        {"normalizers", {{{"type", "NFC"}}, {{"type", "Prepend"}, {"prepend", "a"}}}}};
  file["pre_tokenizer"] = {{"type", "Sequence"},
                           {"pretokenizers", {split("a+"), {{"type", "Digits"}, {"individual_digits", true}}}}};
  file["decoder"] = {{"type", "Sequence"},
                     {"decoders", {{{"type", "Strip"}, {"content", "a"}, {"start", 1}, {"stop", 0}}}}};
  REQUIRE(complaint_about("/normalizer", file["normalizer"]) == "accepted");
  int refused = 0;
  const Json values = file.flatten();
  for (const auto& [pointer, value] : values.items())
    for (const Json& replacement : replacements) {
      Json changed = file;
      changed[Json::json_pointer(pointer)] = replacement;
      refused += complaint(changed.dump()) != "accepted";
    }
  CHECK(refused > 100);
}
