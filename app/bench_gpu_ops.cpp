// `penstock bench --ops` on a GPU: each op in a graph of its own, on random data that does not stay in the cache.
#include <algorithm>
#include <cmath>
#include <functional>
#include <random>
#include <string>
#include <vector>

#include "app/bench_ops.h"
#include "app/cold_bench.h"
#include "engine/model/rope_table.h"
#include "engine/model/shard_plan.h"
#include "engine/step/op_work.h"
#include "engine/step/step_buffers.h"

namespace penstock {
namespace {

constexpr ElementBytes kBf16 = ColdBench::kBf16;

std::string shape_of(int64_t a, int64_t b) { return std::to_string(a) + " x " + std::to_string(b); }

class GpuOpBench {
 public:
  GpuOpBench(const ModelConfig& model, const EngineConfig& config)
      : model_(model), config_(config), shard_(model, 0, 1), bench_(config) {}

  void run() {
    for (int64_t tokens : {1, 64, 8192}) {
      norms(tokens);
      elementwise(tokens);
    }
    for (int64_t tokens : {1, 8, 16, 64, 256, 8192}) matmuls(tokens);
    sequences("decode", 1, 1, 256);
    sequences("decode", 1, 1, 4096);
    sequences("decode", 64, 1, 1024);
    sequences("decode", 64, 1, 4096);
    sequences("decode", 64, 4, 4096);
    for (int64_t rows : {1, 16})
      for (int64_t fresh : {8, 16}) sequences("verify", rows, fresh, 4096);
    sequences("prefill", 16, 1024, 1024);
    sequences("prefill", 4, 4096, 4096);
    sequences("prefill", 1, 16384, 16384);
    sequences("chunk", 4, 1024, 4096);
    for (int64_t rows : {1, 64, 256}) heads(rows);
  }

 private:
  void norms(int64_t tokens) {
    const int64_t hidden = model_.hidden;
    const Work work = add_rms_norm_work(static_cast<double>(tokens), static_cast<double>(hidden), kBf16);
    const int64_t copies = ColdBench::copies_of(work.bytes());
    const auto x = bench_.random_rows(copies, tokens, hidden), residual = bench_.random_rows(copies, tokens, hidden);
    const DeviceBuffer weight = bench_.random_floats(hidden, 1);
    bench_.row("add_rms_norm", shape_of(tokens, hidden), work, copies, [&](int64_t i) {
      bench_.backend().add_rms_norm({x[i], residual[i], x[i], weight.as<float>(), 1e-5f});
    });
    bench_.forget_rows();
  }

  void elementwise(int64_t tokens) {
    const auto count = static_cast<double>(tokens), hidden = static_cast<double>(model_.hidden);
    Work work = gated_mul_work(count, static_cast<double>(model_.mlp), kBf16);
    int64_t copies = ColdBench::copies_of(work.bytes());
    const auto gate_up = bench_.random_rows(copies, tokens, 2 * model_.mlp),
               mlp = bench_.random_rows(copies, tokens, model_.mlp);
    bench_.row("gated_mul", shape_of(tokens, model_.mlp), work, copies, [&](int64_t i) {
      bench_.backend().gated_mul({mlp[i], gate_up[i]});
    });
    bench_.forget_rows();

    work = gather_rows_work(count, hidden, kBf16);
    copies = ColdBench::copies_of(work.bytes());
    const auto x = bench_.random_rows(copies, tokens, model_.hidden),
               out = bench_.random_rows(copies, tokens, model_.hidden);
    const DeviceBuffer indices = bench_.shuffled(tokens, tokens);
    bench_.row("gather_rows", shape_of(tokens, model_.hidden), work, copies, [&](int64_t i) {
      bench_.backend().gather_rows({out[i], x[i], indices.as<int32_t>()});
    });
    const Weight table = bench_.random_weight(model_.vocab, model_.hidden);
    const DeviceBuffer ids = bench_.shuffled(model_.vocab, tokens);
    bench_.row(
        "embed", shape_of(tokens, model_.hidden), embed_work(count, hidden, 2 * hidden, kBf16), copies, [&](int64_t i) {
          bench_.backend().embed({out[i], table, 0, nullptr, {.tokens = tokens, .input_ids = ids.as<int32_t>()}});
        });
    bench_.forget_rows();
  }

  void matmuls(int64_t tokens) {
    const int64_t q = model_.heads * model_.head_dim;
    matmul("qkv", tokens, shard_.qkv_features(), model_.hidden);
    matmul("attention out", tokens, model_.hidden, q);
    matmul("gate_up", tokens, 2 * model_.mlp, model_.hidden);
    matmul("down", tokens, model_.hidden, model_.mlp);
    if (tokens <= 512) matmul("logits", tokens, model_.vocab, model_.hidden, DType::f32);
  }

  void matmul(const std::string& name, int64_t tokens, int64_t out_features, int64_t in_features,
              DType out_dtype = DType::bf16) {
    const double size = static_cast<double>(in_features) * static_cast<double>(out_features);
    const int64_t copies = ColdBench::copies_of(2 * size);
    std::vector<Weight> weights;
    for (int64_t i = 0; i < copies; ++i) weights.push_back(bench_.random_weight(out_features, in_features));
    const Tensor x = bench_.random_rows(tokens, in_features);
    const DeviceBuffer memory = bench_.backend().allocate(tokens * out_features * 4);
    const Tensor out = memory.matrix(out_dtype, tokens, out_features);
    const Work work =
        matmul_work(static_cast<double>(tokens), static_cast<double>(out_features), static_cast<double>(in_features),
                    2 * size, static_cast<double>(dtype_bytes(out_dtype)), kBf16);
    bench_.row("matmul", name + " " + shape_of(tokens, in_features) + " x " + std::to_string(out_features), work,
               copies, [&](int64_t i) {
                 bench_.backend().matmul({out, x, weights[i]});
               });
    bench_.forget_rows();
  }

  // `rows` sequences of `context` tokens, the last `fresh` of them new, in scattered blocks.
  StepPlan plan_of(int64_t rows, int64_t fresh, int64_t context) const {
    std::mt19937 random(1);
    StepPlan plan;
    const auto blocks = static_cast<int32_t>((context + config_.block_size - 1) / config_.block_size);
    for (int32_t r = 0; r < rows; ++r)
      plan.rows.push_back({.slot = r,
                           .first_token = static_cast<int32_t>(r * fresh),
                           .num_tokens = static_cast<int32_t>(fresh),
                           .first_position = static_cast<int32_t>(context - fresh),
                           .first_block = r * blocks,
                           .num_blocks = blocks});
    plan.input_ids.assign(rows * fresh, 0);
    for (int32_t b = 0; b < rows * blocks; ++b) plan.block_tables.push_back(b);
    std::shuffle(plan.block_tables.begin(), plan.block_tables.end(), random);
    return plan;
  }

  void sequences(const std::string& kind, int64_t rows, int64_t fresh, int64_t context) {
    const int64_t tokens = rows * fresh, head_dim = model_.head_dim, kv_heads = model_.kv_heads;
    const StepPlan plan = plan_of(rows, fresh, context);
    const auto blocks = static_cast<int64_t>(plan.block_tables.size());
    StepBuffers buffers({.tokens = tokens, .head_rows = 1, .rows = rows, .table_entries = blocks}, bench_.backend());
    buffers.upload(plan, tokens, 0, bench_.backend());
    const StepView step = buffers.view(tokens);

    const int64_t kv_values = blocks * kv_heads * config_.block_size * head_dim;
    const int64_t copies = ColdBench::copies_of(4 * static_cast<double>(kv_values));
    std::vector<KvCache> layers;
    for (int64_t i = 0; i < copies; ++i) {
      void* k = bench_.random_rows(1, kv_values).data;
      layers.push_back(
          {k, bench_.random_rows(1, kv_values).data, DType::bf16, blocks, kv_heads, config_.block_size, head_dim});
    }
    const auto qkv = bench_.random_rows(copies, tokens, shard_.qkv_features());
    const auto out = bench_.random_rows(copies, tokens, model_.heads * head_dim);
    const std::vector<float> host_rope = rope_tables(model_, context);
    const DeviceBuffer rope = bench_.backend().allocate(static_cast<int64_t>(host_rope.size()) * 4);
    bench_.backend().upload(rope.data(), host_rope.data(), rope.bytes());

    const std::string shape = kind + " " + shape_of(rows, fresh) + " at " + std::to_string(context);
    const auto heads = static_cast<double>(model_.heads), groups = static_cast<double>(kv_heads),
               width = static_cast<double>(head_dim);
    AttentionReach reach;
    for (int64_t r = 0; r < rows; ++r) reach += attention_reach(context - fresh, fresh, 0);
    const auto scale = 1 / std::sqrt(static_cast<float>(head_dim));
    bench_.row("attention", shape, paged_attention_work(reach, heads, groups, width, kBf16), copies, [&](int64_t i) {
      bench_.backend().paged_attention(
          {.out = out[i], .qkv = qkv[i], .heads = model_.heads, .scale = scale, .cache = layers[i], .step = step});
    });
    const Work store = qk_norm_rope_store_work(static_cast<double>(tokens), heads, groups, width, kBf16);
    bench_.row("qk_norm_rope", shape, store, copies, [&](int64_t i) {
      bench_.backend().qk_norm_rope_store(
          {.qkv = qkv[i], .heads = model_.heads, .rope = rope.as<float>(), .cache = layers[i], .step = step});
    });
    bench_.forget_rows();
  }

  void heads(int64_t count) {
    const Work work = logits_read_work(static_cast<double>(count), static_cast<double>(model_.vocab));
    const int64_t copies = ColdBench::copies_of(work.bytes());
    std::vector<DeviceBuffer> logits;
    for (int64_t i = 0; i < copies; ++i) logits.push_back(bench_.random_floats(count * model_.vocab, 3));
    std::vector<HeadRow> rows(count);
    const DeviceBuffer device_rows = bench_.backend().allocate(count * static_cast<int64_t>(sizeof(HeadRow)));
    const DeviceBuffer results = bench_.backend().allocate(count * static_cast<int64_t>(sizeof(HeadResult)));
    const DeviceBuffer last_tokens = bench_.backend().allocate(count * 4);
    const auto time = [&](const char* what, const std::function<void(const Head&)>& op) {
      bench_.backend().upload(device_rows.data(), rows.data(), device_rows.bytes());
      bench_.row(what, shape_of(count, model_.vocab), work, copies, [&](int64_t i) {
        op({logits[i].matrix(DType::f32, count, model_.vocab),
            device_rows.as<HeadRow>(),
            results.as<HeadResult>(),
            last_tokens.as<int32_t>(),
            nullptr,
            {}});
      });
    };
    const auto sample = [&](const Head& head) { bench_.backend().sample(head); };
    for (int32_t r = 0; r < count; ++r) rows[r] = {.slot = r, .position = r};
    time("greedy", sample);
    for (HeadRow& one : rows) one.temperature = 0.8f;
    time("sampling", sample);
    for (HeadRow& one : rows) one.top_p = 0.95f;
    time("top-p 0.95", sample);
    for (HeadRow& one : rows) one.top_p = 1, one.top_k = 50;
    time("top-k 50", sample);
    for (int32_t r = 0; r < count; ++r) rows[r] = {.target = r};
    time("score", [&](const Head& head) { bench_.backend().score(head); });
  }

  const ModelConfig& model_;
  const EngineConfig& config_;
  ShardPlan shard_;
  ColdBench bench_;
};

}  // namespace

void bench_gpu_ops(const ModelConfig& model, const EngineConfig& config) { GpuOpBench(model, config).run(); }

}  // namespace penstock
