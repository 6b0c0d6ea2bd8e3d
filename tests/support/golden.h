// The golden answers of tests/model/golden (scripts/make_golden.py) and the models they belong to.
#pragma once
#include <cstdint>
#include <cstdlib>
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
};
struct Golden {
  std::vector<GoldenAnswer> answers;
  std::vector<GoldenScore> scores;
};

inline Golden read_golden(const std::string& name) {
  std::ifstream file(std::string(PENSTOCK_SOURCE_DIR) + "/tests/model/golden/" + name + ".jsonl");
  REQUIRE(file.good());
  Golden golden;
  for (std::string line; std::getline(file, line);) {
    Json json = Json::parse(line);
    if (json.contains("score_from"))
      golden.scores.push_back({json["prompt_token_ids"], json["score_from"], json["logprobs"], json["argmax"]});
    else
      golden.answers.push_back({json["prompt_token_ids"], json["token_ids"]});
  }
  return golden;
}

// The folder of a model: samples/NAME, or for "smollm2" what PENSTOCK_SMOLLM2 names (scripts/fetch_model.sh makes it).
inline std::string model_path(const std::string& name) {
  if (name != "smollm2") return std::string(PENSTOCK_SOURCE_DIR) + "/samples/" + name;
  const char* path = std::getenv("PENSTOCK_SMOLLM2");
  INFO("PENSTOCK_SMOLLM2 must name the folder that scripts/fetch_model.sh made");
  REQUIRE(path);
  return path;
}

}  // namespace penstock::test
