// Many texts through real tokenizers beside the tokenizers library (scripts/make_tokenizer_parity.py says what the files
// in the folder PENSTOCK_TOKENIZERS hold), and how fast that is.
#include <xxhash.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <sstream>

#include "engine/json.h"
#include "engine/text/detokenizer.h"
#include "engine/text/tokenizer.h"
#include "tests/support/catch.h"

using namespace penstock;
namespace fs = std::filesystem;

namespace {

using Ids = std::vector<int32_t>;

std::string read_file(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  INFO(path);
  REQUIRE(file.good());
  std::stringstream bytes;
  bytes << file.rdbuf();
  return bytes.str();
}

std::vector<Json> read_lines(const fs::path& path) {
  std::stringstream lines(read_file(path));
  std::vector<Json> records;
  for (std::string line; std::getline(lines, line);) records.push_back(Json::parse(line));
  return records;
}

fs::path parity_folder() {
  const char* folder = std::getenv("PENSTOCK_TOKENIZERS");
  INFO("PENSTOCK_TOKENIZERS must name the folder that scripts/fetch_tokenizers.sh fills");
  REQUIRE(folder != nullptr);
  return folder;
}

// Calls body(folder, tokenizer) for each.
template <class Body>
size_t for_each_tokenizer(Body body) {
  std::vector<fs::path> folders;
  for (const auto& entry : fs::directory_iterator(parity_folder()))
    if (entry.is_directory()) folders.push_back(entry.path());
  std::sort(folders.begin(), folders.end());
  for (const fs::path& folder : folders) {
    INFO(folder.filename().string());
    fs::path file = folder / "tokenizer.json";
    body(folder, Tokenizer(read_file(file), file.string()));
  }
  return folders.size();
}

std::string hash_of(const void* bytes, size_t count) {
  char text[17];
  std::snprintf(text, sizeof text, "%016llx", static_cast<unsigned long long>(XXH3_64bits(bytes, count)));
  return text;
}

// What the library made of one text, beside what is made of it here.
struct Answer {
  Ids ids;
  std::string decoded, decoded_skip;
};

std::string difference(const Json& expected, const std::string& text, const Answer& answer) {
  const bool hashed = expected.at("ids").is_string();
  const bool same_ids =
      hashed ? expected["ids"] == hash_of(answer.ids.data(), 4 * answer.ids.size()) : expected["ids"] == Json(answer.ids);
  if (!same_ids) return "ids " + Json(answer.ids).dump();
  auto check = [&](const char* key, const std::string& decoded) {
    if (!expected.contains(key)) return decoded == text;
    return expected[key] == (hashed ? hash_of(decoded.data(), decoded.size()) : decoded);
  };
  if (!check("decoded", answer.decoded)) return "decoded " + Json(answer.decoded).dump();
  if (!check("decoded_skip", answer.decoded_skip)) return "decoded_skip " + Json(answer.decoded_skip).dump();
  return "";
}

std::string decode_in_steps(const Tokenizer& tokenizer, const Ids& ids) {
  Detokenizer detokenizer(tokenizer);
  std::string text;
  for (int32_t id : ids) text += detokenizer.push(id);
  return text + detokenizer.finish();
}

// Counts the answers that differ and shows the first few.
class Differences {
 public:
  void note(const Json& expected, const std::string& text, const std::string& difference) {
    if (difference.empty() || ++count_ > 5) return;
    shown_ += "\n" + Json(text).dump().substr(0, 600) + "\n  here: " + difference.substr(0, 600) +
              "\n  library: " + expected.dump().substr(0, 600);
  }
  size_t count() const { return count_; }
  const std::string& shown() const { return shown_; }

 private:
  size_t count_ = 0;
  std::string shown_;
};

double seconds_to_encode(const Tokenizer& tokenizer, const std::string& text) {
  auto begin = std::chrono::steady_clock::now();
  tokenizer.encode(text, false);
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

std::string repeated(const std::string& unit, size_t bytes) {
  std::string text;
  while (text.size() < bytes) text += unit;
  return text;
}

}  // namespace

TEST_CASE("tokenizers agree with the tokenizers library on every text", "[.parity]") {
  const std::vector<Json> texts = read_lines(parity_folder() / "texts.jsonl");
  REQUIRE(texts.size() > 20'000);
  size_t tokenizers = for_each_tokenizer([&](const fs::path& folder, const Tokenizer& tokenizer) {
    const std::vector<Json> cases = read_lines(folder / "cases.jsonl");
    REQUIRE(cases.size() == texts.size());
    Differences differences;
    for (size_t i = 0; i < texts.size(); ++i) {
      const std::string text = texts[i].get<std::string>();
      Answer answer{tokenizer.encode(text, i % 2 == 1), {}, {}};
      answer.decoded = tokenizer.decode(answer.ids, false);
      answer.decoded_skip = tokenizer.decode(answer.ids, true);
      differences.note(cases[i], text, difference(cases[i], text, answer));
      if (decode_in_steps(tokenizer, answer.ids) != answer.decoded_skip) differences.note(cases[i], text, "in steps");
    }
    INFO(differences.shown());
    CHECK(differences.count() == 0);
  });
  CHECK(tokenizers >= 25);
}

TEST_CASE("tokenizers decode any ids as the tokenizers library does", "[.parity]") {
  for_each_tokenizer([&](const fs::path& folder, const Tokenizer& tokenizer) {
    const std::vector<Json> cases = read_lines(folder / "decode.jsonl");
    REQUIRE(cases.size() == 500);
    Differences differences;
    for (const Json& expected : cases) {
      const Ids ids = expected["ids"].get<Ids>();
      differences.note(expected, "",
                       difference(expected, "", {ids, tokenizer.decode(ids, false), tokenizer.decode(ids, true)}));
    }
    INFO(differences.shown());
    CHECK(differences.count() == 0);
  });
}

TEST_CASE("tokenizers agree with llama.cpp's test cases", "[.parity]") {
  size_t files = 0;
  for_each_tokenizer([&](const fs::path& folder, const Tokenizer& tokenizer) {
    if (!fs::exists(folder / "llama_cpp.jsonl")) return;
    ++files;
    for (const Json& expected : read_lines(folder / "llama_cpp.jsonl")) {
      INFO(expected.dump());
      CHECK(tokenizer.encode(expected["text"].get<std::string>(), false) == expected["ids"].get<Ids>());
    }
  });
  CHECK(files >= 8);
}

// Measured at most 0.3 s; the bound leaves room for slow machines.
TEST_CASE("a megabyte of one character takes about a second at most in every tokenizer", "[.parity]") {
  const std::string units[] = {"a", " ", "\n", "1", ".", "中", "é", "\u0301", "😀", "\u200d", "\u0378", "\U000E0101",
                               std::string(1, '\0'), "ab", "▁", "<", "\u0316\u0301"};
  for_each_tokenizer([&](const fs::path&, const Tokenizer& tokenizer) {
    for (const std::string& unit : units) {
      INFO(Json(unit).dump());
      CHECK(seconds_to_encode(tokenizer, repeated(unit, 1'000'000) + "b") < 2.5);
    }
  });
}

TEST_CASE("bytes of English a second, from a cold start", "[.bench]") {
  const std::string text = read_file(parity_folder() / "english.txt");
  for_each_tokenizer([&](const fs::path& folder, const Tokenizer& tokenizer) {
    // Every pass of a fresh copy fills its own word cache; so the first pass of each is what a new text costs.
    double cold = seconds_to_encode(tokenizer, text), warm = 1e9;
    for (int pass = 0; pass < 3; ++pass) warm = std::min(warm, seconds_to_encode(tokenizer, text));
    std::cout << folder.filename().string() << ": " << text.size() / cold / 1e6 << " MB/s cold, "
              << text.size() / warm / 1e6 << " MB/s warm\n";
  });
}
