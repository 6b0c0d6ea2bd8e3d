#include "engine/model/weights.h"

#include <filesystem>
#include <functional>
#include <map>

#include "engine/json.h"
#include "tests/engine/model/safetensors_bytes.h"
#include "tests/engine/model/temp_folder.h"
#include "tests/support/catch.h"

namespace penstock {
namespace {

using test::TempFolder;

struct TensorData {
  std::vector<int64_t> shape;
  std::vector<float> values;
};
using Checkpoint = std::map<std::string, TensorData>;

ModelConfig small_model(bool tied) {
  ModelConfig m;
  m.hidden = 4, m.layers = 1, m.heads = 2, m.kv_heads = 1, m.head_dim = 2, m.mlp = 6, m.vocab = 5, m.max_positions = 8;
  m.tied_embeddings = tied;
  return m;
}

// The k-th tensor holds 60 k, 60 k + 1/2 …: exact in f16 as in f32, and told apart from every other's.
Checkpoint small_checkpoint(bool tied) {
  Checkpoint checkpoint;
  int k = 0;
  auto add = [&](const std::string& name, std::vector<int64_t> shape) {
    int64_t count = 1;
    for (int64_t size : shape) count *= size;
    TensorData data{std::move(shape), {}};
    for (int64_t i = 0; i < count; ++i) data.values.push_back(static_cast<float>(k * 60) + static_cast<float>(i) / 2);
    checkpoint[name] = std::move(data);
    ++k;
  };
  const std::string layer = "model.layers.0.", attention = layer + "self_attn.", mlp = layer + "mlp.";
  add("model.embed_tokens.weight", {5, 4});
  add(layer + "input_layernorm.weight", {4});
  add(attention + "q_proj.weight", {4, 4});
  add(attention + "k_proj.weight", {2, 4});
  add(attention + "v_proj.weight", {2, 4});
  add(attention + "o_proj.weight", {4, 4});
  add(layer + "post_attention_layernorm.weight", {4});
  add(mlp + "gate_proj.weight", {6, 4});
  add(mlp + "up_proj.weight", {6, 4});
  add(mlp + "down_proj.weight", {4, 6});
  add("model.norm.weight", {4});
  if (!tied) add("lm_head.weight", {5, 4});
  return checkpoint;
}

uint16_t f16_bits(float value) {  // of a normal number that f16 holds exactly, or 0
  uint32_t bits;
  std::memcpy(&bits, &value, 4);
  return value == 0 ? 0 : static_cast<uint16_t>(((bits >> 23) - 112) << 10 | (bits >> 13 & 0x3FF));
}

void write(const TempFolder& folder, const Checkpoint& checkpoint, const std::string& dtype) {
  std::string header, data;
  for (const auto& [name, tensor] : checkpoint) {
    const size_t begin = data.size();
    for (float value : tensor.values) {
      const uint16_t half = dtype == "F16" ? f16_bits(value) : f32_to_bf16(value);
      data.append(dtype == "F32" ? reinterpret_cast<const char*>(&value) : reinterpret_cast<const char*>(&half),
                  dtype == "F32" ? 4 : 2);
    }
    header += (header.empty() ? "{" : ",") + test::entry(name, dtype, Json(tensor.shape).dump(), begin, data.size());
  }
  folder.write("model.safetensors", test::safetensors(header + "}") + data);
}

Weights load(const TempFolder& folder, ModelConfig model, Backend& backend, int rank = 0, int ranks = 1) {
  const SafetensorsFolder files(folder.path());
  model.checkpoint_dtype = checkpoint_dtype(files);
  const ShardPlan shard(model, rank, ranks);
  check_weights(files, model, shard);
  return load_weights(files, model, shard, backend, 2);
}

// The matrix itself, by multiplying it with unit vectors.
std::vector<float> matrix_of(const Weight& weight, Backend& backend) {
  const int64_t n = weight.in_features, m = weight.out_features;
  std::vector<float> unit(n * n), columns(n * m), matrix(n * m);
  for (int64_t i = 0; i < n; ++i) unit[i * n + i] = 1;
  backend.matmul({{columns.data(), DType::f32, n, m, m}, {unit.data(), DType::f32, n, n, n}, weight});
  for (int64_t i = 0; i < n; ++i)
    for (int64_t j = 0; j < m; ++j) matrix[j * n + i] = columns[i * m + j];
  return matrix;
}

std::vector<float> joined(const Checkpoint& checkpoint, std::initializer_list<const char*> names) {
  std::vector<float> all;
  for (const char* name : names) {
    const std::vector<float>& part = checkpoint.at(std::string("model.layers.0.") + name).values;
    all.insert(all.end(), part.begin(), part.end());
  }
  return all;
}

TEST_CASE("F32 and F16 checkpoints are read exactly, each tensor to its place") {
  const std::string dtype = GENERATE("F32", "F16");
  const Checkpoint checkpoint = small_checkpoint(false);
  TempFolder folder;
  write(folder, checkpoint, dtype);
  CHECK(checkpoint_dtype(SafetensorsFolder(folder.path())) == (dtype == "F32" ? DType::f32 : DType::f16));
  auto backend = make_backend({.poison_memory = true});
  const Weights weights = load(folder, small_model(false), *backend);
  const LayerWeights& layer = weights.layers[0];
  CHECK(matrix_of(weights.embedding, *backend) == checkpoint.at("model.embed_tokens.weight").values);
  CHECK(matrix_of(weights.head(), *backend) == checkpoint.at("lm_head.weight").values);
  CHECK(matrix_of(layer.qkv, *backend) ==
        joined(checkpoint, {"self_attn.q_proj.weight", "self_attn.k_proj.weight", "self_attn.v_proj.weight"}));
  CHECK(matrix_of(layer.output, *backend) == joined(checkpoint, {"self_attn.o_proj.weight"}));
  CHECK(matrix_of(layer.gate_up, *backend) == joined(checkpoint, {"mlp.gate_proj.weight", "mlp.up_proj.weight"}));
  CHECK(matrix_of(layer.down, *backend) == joined(checkpoint, {"mlp.down_proj.weight"}));
  auto vector = [](const DeviceBuffer& x) { return std::vector<float>(x.as<float>(), x.as<float>() + 4); };
  CHECK(vector(layer.input_norm) == joined(checkpoint, {"input_layernorm.weight"}));
  CHECK(vector(layer.mlp_norm) == joined(checkpoint, {"post_attention_layernorm.weight"}));
  CHECK(vector(weights.final_norm) == checkpoint.at("model.norm.weight").values);
}

TEST_CASE("A rank reads its rows and columns") {
  const Checkpoint checkpoint = small_checkpoint(true);
  TempFolder folder;
  write(folder, checkpoint, "F32");
  auto backend = make_backend({.poison_memory = true});
  const Weights weights = load(folder, small_model(true), *backend, 1, 2);
  const LayerWeights& layer = weights.layers[0];
  const std::vector<float> qkv =
      joined(checkpoint, {"self_attn.q_proj.weight", "self_attn.k_proj.weight", "self_attn.v_proj.weight"});
  CHECK(matrix_of(layer.qkv, *backend) == std::vector<float>(qkv.begin() + 8, qkv.end()));  // the second query head
  const std::vector<float> down = joined(checkpoint, {"mlp.down_proj.weight"});
  std::vector<float> right;
  for (int row = 0; row < 4; ++row) right.insert(right.end(), down.begin() + row * 6 + 3, down.begin() + row * 6 + 6);
  CHECK(matrix_of(layer.down, *backend) == right);
}

TEST_CASE("Files that do not hold what config.json calls for are exit code 78, naming the tensor") {
  struct Row {
    const char* message;
    bool tied;
    std::function<void(Checkpoint&)> change;
  };
  const std::vector<Row> rows = {
      {"lack tensor model.layers.0.mlp.up_proj.weight", false,
       [](Checkpoint& c) { c.erase("model.layers.0.mlp.up_proj.weight"); }},
      {"lack tensor lm_head.weight", false, [](Checkpoint& c) { c.erase("lm_head.weight"); }},
      {"tensor \"model.layers.1.mlp.up_proj.weight\" has no place", false,
       [](Checkpoint& c) { c["model.layers.1.mlp.up_proj.weight"] = c["model.layers.0.mlp.up_proj.weight"]; }},
      {"tensor \"model.layers.0.self_attn.q_proj.bias\" has no place", false,
       [](Checkpoint& c) { c["model.layers.0.self_attn.q_proj.bias"] = c["model.norm.weight"]; }},
      {"tensor \"model.layers.0.mlp.down_proj.weight\" has shape [6, 4]; config.json calls for [4, 6]", false,
       [](Checkpoint& c) {
         c["model.layers.0.mlp.down_proj.weight"].shape = {6, 4};
       }},
      {"tensor \"model.norm.weight\" has shape [4, 1]; config.json calls for [4]", false,
       [](Checkpoint& c) {
         c["model.norm.weight"].shape = {4, 1};
       }},
      {"tensor \"lm_head.weight\" differs from model.embed_tokens.weight", true,
       [](Checkpoint& c) { c["lm_head.weight"] = c["model.embed_tokens.weight"], c["lm_head.weight"].values[19] = 1; }},
  };
  auto backend = make_backend({});
  for (const Row& row : rows) {
    Checkpoint checkpoint = small_checkpoint(row.tied);
    row.change(checkpoint);
    TempFolder folder;
    write(folder, checkpoint, "BF16");
    INFO(row.message);
    try {
      load(folder, small_model(row.tied), *backend);
      FAIL("accepted");
    } catch (const Error& error) {
      CHECK(error.code() == ExitCode::bad_model);
      CHECK_THAT(error.what(), ContainsSubstring(row.message));
    }
  }
}

TEST_CASE("A tied model may carry an equal lm_head, and old files their inverse frequencies") {
  Checkpoint checkpoint = small_checkpoint(true);
  checkpoint["lm_head.weight"] = checkpoint["model.embed_tokens.weight"];
  checkpoint["model.layers.0.self_attn.rotary_emb.inv_freq"] = {{1}, {1}};
  TempFolder folder;
  write(folder, checkpoint, "F32");
  auto backend = make_backend({});
  const Weights weights = load(folder, small_model(true), *backend);
  CHECK(&weights.head() == &weights.embedding);
}

TEST_CASE(
    "A file that shrinks while it is read is exit code 74, for one thread and for many, and nobody waits for ever") {
  ModelConfig model = small_model(false);
  model.mlp = 3000, model.hidden = 1000, model.head_dim = 2;  // several pieces
  Checkpoint checkpoint = small_checkpoint(false);
  const auto resize = [&](const std::string& name, std::vector<int64_t> shape) {
    int64_t count = 1;
    for (int64_t size : shape) count *= size;
    checkpoint[name] = {std::move(shape), std::vector<float>(count, 1)};
  };
  const std::string layer = "model.layers.0.", attention = layer + "self_attn.", mlp = layer + "mlp.";
  for (const std::string& norm :
       {layer + "input_layernorm", layer + "post_attention_layernorm", std::string("model.norm")})
    resize(norm + ".weight", {1000});
  for (const char* name : {"model.embed_tokens.weight", "lm_head.weight"}) resize(name, {5, 1000});
  resize(attention + "q_proj.weight", {4, 1000}), resize(attention + "k_proj.weight", {2, 1000});
  resize(attention + "v_proj.weight", {2, 1000}), resize(attention + "o_proj.weight", {1000, 4});
  resize(mlp + "gate_proj.weight", {3000, 1000}), resize(mlp + "up_proj.weight", {3000, 1000});
  resize(mlp + "down_proj.weight", {1000, 3000});
  TempFolder folder;
  write(folder, checkpoint, "BF16");
  const SafetensorsFolder files(folder.path());
  const std::string path = folder.path() + "/model.safetensors";
  const auto whole = static_cast<int64_t>(std::filesystem::file_size(path));
  auto backend = make_backend({});
  for (int threads : {1, 4, 16})
    for (int64_t left : {whole - 1, whole / 2, int64_t{0}}) {
      std::filesystem::resize_file(path, static_cast<uintmax_t>(left));  // after it was opened
      INFO(threads << " threads, " << left << " bytes left");
      try {
        load_weights(files, model, ShardPlan(model, 0, 1), *backend, threads);
        FAIL("accepted");
      } catch (const Error& error) {
        CHECK(error.code() == ExitCode::io);
        CHECK_THAT(error.what(), ContainsSubstring("model.safetensors: ends at byte"));
      }
    }
}

TEST_CASE("bf16 mode rounds F32 and F16 checkpoints to nearest even") {
  const std::string dtype = GENERATE("F32", "F16");
  Checkpoint checkpoint = small_checkpoint(true);
  TempFolder folder;
  write(folder, checkpoint, dtype);
  auto backend = make_backend({.dtype = DType::bf16});
  const int rank = GENERATE(0, 1);
  const Weights weights = load(folder, small_model(true), *backend, rank, 2);
  std::vector<float> expected;
  const std::vector<float>& down = checkpoint.at("model.layers.0.mlp.down_proj.weight").values;
  for (int row = 0; row < 4; ++row)
    for (int column = 0; column < 3; ++column)
      expected.push_back(bf16_to_f32(f32_to_bf16(down[row * 6 + rank * 3 + column])));
  CHECK(matrix_of(weights.layers[0].down, *backend) == expected);
}

TEST_CASE("Memory is planned for what is read") {
  auto backend = make_backend({});
  const ModelConfig model = small_model(false);
  const ShardPlan shard(model, 0, 1);
  const Weights weights = random_weights(model, shard, *backend, 1);
  const LayerWeights& layer = weights.layers[0];
  int64_t bytes = weights.final_norm.bytes() + layer.input_norm.bytes() + layer.mlp_norm.bytes();
  for (const Weight* w : {&weights.embedding, &weights.lm_head, &layer.qkv, &layer.output, &layer.gate_up, &layer.down})
    bytes += w->storage.bytes();
  CHECK(weight_bytes(model, shard, *backend) == bytes);
}

}  // namespace
}  // namespace penstock
