// What the tokenizers library says (tests/engine/text/data, written by scripts/make_tokenizer_cases.py), and what it
// has no word on: literal ranges, invalid arguments, time bounds, threads.
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <thread>

#include "engine/json.h"
#include "engine/text/detokenizer.h"
#include "engine/text/tokenizer.h"
#include "tests/support/catch.h"

using namespace penstock;
namespace fs = std::filesystem;

namespace {

const fs::path data_folder = fs::path(PENSTOCK_SOURCE_DIR) / "tests/engine/text/data";
using Ids = std::vector<int32_t>;

std::string read_file(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  REQUIRE(file.good());
  std::stringstream bytes;
  bytes << file.rdbuf();
  return bytes.str();
}

Tokenizer load(const fs::path& path) { return Tokenizer(read_file(path), path.string()); }
Tokenizer load_case(const std::string& name) { return load(data_folder / name / "tokenizer.json"); }

std::vector<Json> read_cases(const fs::path& path) {
  std::stringstream lines(read_file(path));
  std::vector<Json> cases;
  for (std::string line; std::getline(lines, line);) cases.push_back(Json::parse(line));
  return cases;
}

fs::path smollm2_folder() {
  const char* folder = std::getenv("PENSTOCK_SMOLLM2");
  INFO("PENSTOCK_SMOLLM2 must name the folder of SmolLM2-135M-Instruct");
  REQUIRE(folder != nullptr);
  return folder;
}

std::string decode_in_steps(const Tokenizer& tokenizer, const Ids& ids) {
  Detokenizer detokenizer(tokenizer);
  std::string text;
  for (int32_t id : ids) text += detokenizer.push(id);
  return text + detokenizer.finish();
}

double seconds_to_encode(const Tokenizer& tokenizer, const std::string& text) {
  auto begin = std::chrono::steady_clock::now();
  CHECK_FALSE(tokenizer.encode(text, false).empty());
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

}  // namespace

// Returns how many folders there were, each with a tokenizer.json and its cases.jsonl.
size_t check_folders(const fs::path& parent, size_t least_cases) {
  size_t folders = 0;
  for (const auto& entry : fs::directory_iterator(parent)) {
    if (!entry.is_directory()) continue;
    ++folders;
    INFO(entry.path().filename());
    Tokenizer tokenizer = load(entry.path() / "tokenizer.json");
    auto cases = read_cases(entry.path() / "cases.jsonl");
    REQUIRE(cases.size() > least_cases);
    for (const Json& expected : cases) {
      INFO(expected.dump());
      Ids ids = expected["ids"].get<Ids>();
      if (expected.contains("text"))
        CHECK(tokenizer.encode(expected["text"].get<std::string>(), expected["add_special_tokens"].get<bool>()) == ids);
      CHECK(tokenizer.decode(ids, false) == expected["decoded"].get<std::string>());
      CHECK(tokenizer.decode(ids, true) == expected["decoded_skip"].get<std::string>());
      CHECK(decode_in_steps(tokenizer, ids) == expected["decoded_skip"].get<std::string>());
    }
  }
  return folders;
}

TEST_CASE("every trained tokenizer agrees with the tokenizers library") {
  CHECK(check_folders(data_folder, 250) >= 17);
}

// "000" is "0" and "00" or the other way round, and the sums tell by their last bits which. Ids of tokenizers 0.23.
TEST_CASE("a unigram model breaks ties as the tokenizers library does") {
  const Ids ids = load_case("unigram").encode(std::string(28, '1') + ",000,000", false);
  REQUIRE(ids.size() > 6);
  CHECK(Ids(ids.end() - 6, ids.end()) == Ids{73, 99, 23, 4, 23, 99});
}

// scripts/make_real_tokenizers.py writes the folder.
TEST_CASE("real vocabularies agree with the tokenizers library and with llama.cpp", "[.real_tokenizers]") {
  const char* folder = std::getenv("PENSTOCK_TOKENIZERS");
  REQUIRE(folder != nullptr);
  CHECK(check_folders(folder, 10000) == 8);
}

TEST_CASE("SmolLM2 agrees with the tokenizers library", "[smollm2]") {
  Tokenizer tokenizer = load(smollm2_folder() / "tokenizer.json");
  CHECK(tokenizer.vocab_size() == 49152);
  auto cases = read_cases(data_folder / "smollm2.jsonl");
  REQUIRE(cases.size() > 400);
  for (const Json& expected : cases) {
    INFO(expected.dump());
    CHECK(tokenizer.encode(expected["text"].get<std::string>(), false) == expected["ids"].get<Ids>());
  }
}

TEST_CASE("SmolLM2 drops the bytes it has no token for", "[smollm2]") {
  Tokenizer tokenizer = load(smollm2_folder() / "tokenizer.json");
  for (const char* byte : {"\x04", "\x06", "\x13", "\x14", "\x16", "\x1D"})
    CHECK(tokenizer.encode(byte, false).empty());
  CHECK(tokenizer.decode(tokenizer.encode("a\x04z", false), true) == "az");
}

TEST_CASE("tokens have names and ids") {
  Tokenizer tokenizer = load_case("llama3_string_merges");
  int32_t bos = tokenizer.token_to_id("<|begin_of_text|>").value();
  CHECK(tokenizer.id_to_token(bos) == "<|begin_of_text|>");
  CHECK(tokenizer.is_special(bos));
  CHECK_FALSE(tokenizer.is_special(tokenizer.token_to_id("<pad>").value()));
  CHECK(tokenizer.id_to_token(tokenizer.token_to_id("Ġthe").value()) == "Ġthe");
  CHECK_FALSE(tokenizer.token_to_id("nowhere").has_value());
  CHECK(tokenizer.id_to_token(-1).empty());
  CHECK(tokenizer.id_to_token(tokenizer.vocab_size()).empty());
  CHECK(tokenizer.id_to_token(tokenizer.vocab_size() - 1) == "<pad>");
  CHECK(tokenizer.decode(Ids{-5, 1 << 30}, false).empty());
}

TEST_CASE("added tokens are text inside literal ranges") {
  Tokenizer tokenizer = load_case("llama3_string_merges");
  int32_t eot = tokenizer.token_to_id("<|eot_id|>").value();
  std::string text = "a<|eot_id|>b<|eot_id|>";
  auto count = [&](std::vector<Tokenizer::Range> literal) {
    Ids ids = tokenizer.encode(text, false, literal);
    CHECK(tokenizer.decode(ids, false) == text);
    return std::count(ids.begin(), ids.end(), eot);
  };
  CHECK(count({}) == 2);
  CHECK(count({{0, 0}}) == 2);
  CHECK(count({{0, 12}}) == 1);
  CHECK(count({{1, 2}}) == 1);    // a part of the token is enough
  CHECK(count({{11, 13}}) == 1);  // the first byte of the second token, after the b
  CHECK(count({{11, 12}}) == 2);  // the b alone
  CHECK(count({{0, 5}, {20, 22}}) == 0);
  CHECK(count({{0, text.size()}}) == 0);

  // The longer <|eot_id|>\n reaches into the literal line feed; the shorter token beside it still counts.
  std::vector<Tokenizer::Range> line_feed = {{10, 11}};
  CHECK(tokenizer.encode("<|eot_id|>\n", false)[0] == tokenizer.token_to_id("<|eot_id|>\n"));
  CHECK(tokenizer.encode("<|eot_id|>\n", false, line_feed)[0] == eot);
}

TEST_CASE("literal ranges follow the text through the normalizer") {
  Tokenizer tokenizer = load_case("added_token_flags");  // lower-cases; İ grows from two bytes to three
  int32_t day = tokenizer.token_to_id("<DAY>").value();
  std::string text = "İİ<DAY>İ<day>";
  auto count = [&](std::vector<Tokenizer::Range> literal) {
    Ids ids = tokenizer.encode(text, false, literal);
    return std::count(ids.begin(), ids.end(), day);
  };
  CHECK(count({}) == 2);
  CHECK(count({{0, 4}}) == 2);
  CHECK(count({{0, 5}}) == 1);
  CHECK(count({{9, 11}}) == 2);
  CHECK(count({{9, 12}}) == 1);
  CHECK(count({{4, 5}, {15, 16}}) == 0);
}

TEST_CASE("arguments that are not text or not ranges are refused") {
  Tokenizer tokenizer = load_case("llama3_string_merges");
  for (const char* bytes : {"\xFF", "a\xC3", "\xED\xA0\x80", "\xC0\x80", "\xF4\x90\x80\x80", "12345678\x80"})
    CHECK_THROWS_AS(tokenizer.encode(bytes, false), std::invalid_argument);
  std::vector<Tokenizer::Range> outside = {{0, 4}}, backward = {{2, 1}}, overlapping = {{0, 2}, {1, 3}};
  for (const auto& literal : {outside, backward, overlapping})
    CHECK_THROWS_AS(tokenizer.encode("abc", false, literal), std::invalid_argument);
}

// Measured at a tenth to a quarter of a second; the bound leaves room for slow machines.
TEST_CASE("a megabyte of anything takes about a second at most", "[large]") {
  const char* characters[] = {"a", "^", " ", "\n", "1", "\u200d", "\u0301", "中", "\u0316\u0301", "ab"};
  for (const char* name : {"llama3_string_merges", "gpt4o_split", "qwen_nfc", "llama2_byte_fallback", "metaspace_first",
                           "added_token_flags", "unigram", "unigram_byte_fallback"}) {
    Tokenizer tokenizer = load_case(name);
    for (std::string character : characters) {
      std::string text;
      while (text.size() < 1'000'000) text += character;
      INFO(name << " " << character);
      CHECK(seconds_to_encode(tokenizer, text + "b") < 2.5);
    }
  }
}

TEST_CASE("threads may share a tokenizer") {
  Tokenizer tokenizer = load_case("llama3_ignore_merges");
  auto cases = read_cases(data_folder / "llama3_ignore_merges/cases.jsonl");
  std::atomic<int> wrong = 0;
  std::vector<std::thread> threads;
  for (int thread = 0; thread < 4; ++thread)
    threads.emplace_back([&] {
      for (const Json& expected : cases)
        if (expected.contains("text"))
          wrong += tokenizer.encode(expected["text"].get<std::string>(), expected["add_special_tokens"].get<bool>()) !=
                   expected["ids"].get<Ids>();
    });
  for (auto& thread : threads) thread.join();
  CHECK(wrong == 0);
}
