#include <algorithm>
#include <cmath>

#include "engine/model/model_folder.h"
#include "engine/model/weights.h"
#include "engine/step/verify.h"
#include "tests/support/catch.h"

namespace penstock {
namespace {

struct Model {
  explicit Model(const std::string& name)
      : path(std::string(PENSTOCK_SOURCE_DIR) + "/samples/" + name),
        folder(read_model_folder(path)),
        files(path),
        config(parse_model_config(folder.config, folder.generation_config, path)) {
    config.checkpoint_dtype = checkpoint_dtype(files);
  }
  std::string path;
  ModelFolder folder;
  SafetensorsFolder files;
  ModelConfig config;
};

EngineConfig cpu(DType dtype, int32_t block_size = 64) {
  return {.dtype = dtype, .threads = 2, .block_size = block_size, .poison_memory = true};
}

VerifyReport verify_with(const TensorFault& fault, DType dtype = DType::bf16) {
  static const Model model("tiny-llama");
  return verify(model.config, &model.files, cpu(DType::f32), cpu(dtype), fault);
}

TEST_CASE("bf16 agrees with f32 on every tensor") {
  for (const char* name : {"tiny-llama", "tiny-llama3"}) {
    Model model(name);
    VerifyReport report = verify(model.config, &model.files, cpu(DType::f32), cpu(DType::bf16, 16));
    INFO(name << ": " << (report.first_beyond ? report.first_beyond->name : "none"));
    CHECK_FALSE(report.first_beyond);
    CHECK(report.steps == 6);
    CHECK(report.logit_rows == 2 * 52);
    CHECK(report.argmax_equal >= report.logit_rows * 9 / 10);
    std::vector<std::string> kinds;
    for (const TensorError& worst : report.worst) {
      kinds.push_back(worst.name.substr(worst.name.rfind('.') + 1));
      if (kinds.back() != "embed") CHECK(worst.error > 0);  // two sides, not one side twice
    }
    CHECK(kinds == std::vector<std::string>{"embed", "qkv", "attention", "mlp_input", "mlp", "residual", "logits"});
  }
}

TEST_CASE("f32 agrees with itself exactly, though its blocks are of another size") {
  Model model("tiny-llama");
  VerifyReport report = verify(model.config, &model.files, cpu(DType::f32), cpu(DType::f32, 16));
  REQUIRE_FALSE(report.first_beyond);
  for (const TensorError& worst : report.worst) CHECK(worst.error == 0);
}

TEST_CASE("A fault is named where it begins") {
  const char* name = GENERATE("embed", "layers.0.qkv", "layers.1.attention", "layers.2.residual", "logits");
  const int64_t at_step = GENERATE(0, 1, 3);
  const auto change = GENERATE(0, 1, 2);  // a sign, a swap of columns, a NaN
  VerifyReport report = verify_with([&](const std::string& tensor, int64_t step, const Tensor& x) {
    if (tensor != name || step != at_step) return;
    float* row = x.row<float>(x.rows - 1);
    if (change == 0)
      for (int64_t i = 0; i < x.cols / 4; ++i) row[i] = -row[i];
    if (change == 1) std::rotate(row, row + 1, row + x.cols);
    if (change == 2) row[x.cols - 1] = NAN;
  });
  REQUIRE(report.first_beyond);
  CHECK(report.first_beyond->name == name);
  CHECK(report.first_beyond->step == at_step);
}

TEST_CASE("A fault that bf16's bound hides is seen between f32 and f32") {
  auto fault = [](const std::string& tensor, int64_t, const Tensor& x) {
    if (tensor == "layers.1.mlp_input")
      for (int64_t i = 0; i < x.cols; ++i) x.row<float>(0)[i] *= 1.0001f;
  };
  CHECK_FALSE(verify_with(fault, DType::bf16).first_beyond);
  VerifyReport report = verify_with(fault, DType::f32);
  REQUIRE(report.first_beyond);
  CHECK(report.first_beyond->name == "layers.1.mlp_input");
}

}  // namespace
}  // namespace penstock
