// The golden answers of tests/model/golden (scripts/make_golden.py) and the models they belong to.
#pragma once
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "engine/json.h"
#include "tests/support/catch.h"

namespace penstock::test {

struct GoldenAnswer {
  std::vector<int32_t> prompt, tokens;
};
struct GoldenScore {
  std::vector<int32_t> ids;
  int32_t score_from;
  std::vector<double> logprobs;
  std::vector<bool> argmax;
  std::vector<int32_t> logits_at;          // positions, ascending
  std::vector<std::vector<float>> logits;  // [logits_at, vocab]
};
struct Golden {
  std::vector<GoldenAnswer> answers;
  std::vector<GoldenScore> scores;
};

// The source tree: where the tests were compiled, or for programs that were carried elsewhere what PENSTOCK_SOURCE_DIR
// names.
inline std::string source_dir() {
  const char* moved = std::getenv("PENSTOCK_SOURCE_DIR");
  return moved ? moved : PENSTOCK_SOURCE_DIR;
}

inline std::string golden_path(const std::string& file) { return source_dir() + "/tests/model/golden/" + file; }

// The rows of NAME.logits, dealt out to the positions that the scores name.
inline void read_logits(const std::string& name, Golden& golden) {
  size_t rows = 0;
  for (const GoldenScore& score : golden.scores) rows += score.logits_at.size();
  if (!rows) return;
  std::ifstream file(golden_path(name + ".logits"), std::ios::binary);
  REQUIRE(file.good());
  const auto bytes = std::filesystem::file_size(golden_path(name + ".logits"));
  REQUIRE(bytes % (rows * sizeof(float)) == 0);
  for (GoldenScore& score : golden.scores)
    for (size_t i = 0; i < score.logits_at.size(); ++i) {
      std::vector<float>& row = score.logits.emplace_back(bytes / rows / sizeof(float));
      file.read(reinterpret_cast<char*>(row.data()), static_cast<std::streamsize>(row.size() * sizeof(float)));
    }
  REQUIRE(file.good());
}

inline Golden read_golden(const std::string& name) {
  std::ifstream file(golden_path(name + ".jsonl"));
  REQUIRE(file.good());
  Golden golden;
  for (std::string line; std::getline(file, line);) {
    Json json = Json::parse(line);
    if (json.contains("score_from"))
      golden.scores.push_back({json["prompt_token_ids"],
                               json["score_from"],
                               json["logprobs"],
                               json["argmax"],
                               json.value("logits_at", std::vector<int32_t>()),
                               {}});
    else
      golden.answers.push_back({json["prompt_token_ids"], json["token_ids"]});
  }
  read_logits(name, golden);
  return golden;
}

// The tiny models of samples/ that have goldens, by name.
inline std::vector<std::string> tiny_models() {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(source_dir() + "/samples")) {
    std::string name = entry.path().filename();
    if (name.starts_with("tiny-") && std::filesystem::exists(golden_path(name + ".jsonl"))) names.push_back(name);
  }
  std::sort(names.begin(), names.end());
  return names;
}

// The folder of a model: samples/NAME, or for "smollm2" what PENSTOCK_SMOLLM2 names (scripts/fetch_model.sh makes it).
inline std::string model_path(const std::string& name) {
  if (name != "smollm2") return source_dir() + "/samples/" + name;
  const char* path = std::getenv("PENSTOCK_SMOLLM2");
  INFO("PENSTOCK_SMOLLM2 must name the folder that scripts/fetch_model.sh made");
  REQUIRE(path);
  return path;
}

}  // namespace penstock::test
