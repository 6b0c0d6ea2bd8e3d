// `penstock bench --ops` on a GPU: each op in a graph of its own, on random data that does not stay in the cache.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <functional>
#include <random>
#include <string>
#include <vector>

#include "app/bench_ops.h"
#include "engine/model/rope_table.h"
#include "engine/model/shard_plan.h"
#include "engine/stage_timer.h"
#include "engine/step/op_work.h"
#include "engine/step/step_buffers.h"

namespace penstock {
namespace {

constexpr int64_t kColdBytes = 256 << 20;  // a turn through all copies: larger than a GPU's cache
constexpr int64_t kTileValues = 8 << 20;   // random values are repeated after so many
constexpr ElementBytes kBf16{2, 2};

class GpuOpBench {
 public:
  GpuOpBench(const ModelConfig& model, const EngineConfig& config)
      : model_(model),
        config_(config),
        backend_(make_backend({.device = config.device,
                               .index = config.device_of(0, 0),
                               .dtype = config.dtype,
                               .kernels = config.kernels})),
        shard_(model, 0, 1),
        tile_(random_tile()),
        roof_(backend_->measure_roofline()) {}

  void run() {
    backend_->set_autotune(true);
    std::printf("matmul 8192 x 8192 x 8192: %.1f TFLOP/s, copies: %.2f TB/s\n", roof_.flops * 1e-12,
                roof_.memory_bytes * 1e-12);
    std::printf("%-14s %-30s %10s %9s %8s  %s\n", "op", "shape", "us", "TFLOP/s", "TB/s", "of the roofline");
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
  // --- timing -------------------------------------------------------------------------------------------------------

  // Of one call, in a graph of many; call(i) picks copy i.
  double seconds_of(const std::function<void(int64_t)>& call, int64_t copies) {
    constexpr double kWanted = 0.02;
    call(0);
    backend_->synchronize();
    double start = monotonic_seconds();
    call(1 % copies);
    backend_->synchronize();
    const double one = std::max(monotonic_seconds() - start, 2e-6);
    const int64_t turns = std::clamp<int64_t>(static_cast<int64_t>(kWanted / one / static_cast<double>(copies)), 1, 64);
    const int64_t calls = turns * copies;
    const auto graph = backend_->record([&] {
      for (int64_t i = 0; i < calls; ++i) call(i % copies);
    });
    std::vector<double> times;
    for (int round = 0; round < 6; ++round) {
      start = monotonic_seconds();
      graph->replay();
      backend_->synchronize();
      if (round > 0) times.push_back((monotonic_seconds() - start) / static_cast<double>(calls));
    }
    std::sort(times.begin(), times.end());
    return times[times.size() / 2];
  }

  void row(const std::string& op, const std::string& shape, const Work& work, int64_t copies,
           const std::function<void(int64_t)>& call) {
    const double seconds = seconds_of(call, copies);
    std::printf("%-14s %-30s %10.1f %9.1f %8.2f  %5.1f %% (%s)\n", op.c_str(), shape.c_str(), seconds * 1e6,
                work.flops / seconds * 1e-12, work.bytes() / seconds * 1e-12,
                100 * least_seconds(work, roof_) / seconds,
                arithmetic_seconds(work, roof_) > bytes_seconds(work, roof_) ? "FLOPs" : "bytes");
    std::fflush(stdout);
  }

  static int64_t copies_of(double bytes) {
    return std::clamp<int64_t>(static_cast<int64_t>(static_cast<double>(kColdBytes) / bytes) + 1, 2, 64);
  }

  // --- data ---------------------------------------------------------------------------------------------------------

  static std::vector<uint16_t> random_tile() {
    std::mt19937 random(1);
    std::normal_distribution<float> normal;
    std::vector<uint16_t> tile(kTileValues);
    for (uint16_t& value : tile) value = f32_to_bf16(normal(random));
    return tile;
  }

  DeviceBuffer random_memory(int64_t values) {
    DeviceBuffer buffer = backend_->allocate(values * 2);
    for (int64_t at = 0; at < values; at += kTileValues)
      backend_->upload(buffer.as<uint16_t>() + at, tile_.data(), std::min(kTileValues, values - at) * 2);
    return buffer;
  }

  // [rows, cols] in bf16; kept until the next op.
  Tensor random_rows(int64_t rows, int64_t cols) {
    kept_.push_back(random_memory(rows * cols));
    return kept_.back().matrix(DType::bf16, rows, cols);
  }
  std::vector<Tensor> random_rows(int64_t count, int64_t rows, int64_t cols) {
    std::vector<Tensor> all;
    for (int64_t i = 0; i < count; ++i) all.push_back(random_rows(rows, cols));
    return all;
  }

  Weight random_weight(int64_t out_features, int64_t in_features) {
    Weight weight = backend_->allocate_weight(out_features, in_features, DType::bf16);
    weight.storage = random_memory(out_features * in_features);
    return weight;
  }

  DeviceBuffer random_floats(int64_t count, float scale) {
    std::vector<float> values(count);
    for (int64_t i = 0; i < count; ++i) values[i] = scale * bf16_to_f32(tile_[i % kTileValues]);
    DeviceBuffer buffer = backend_->allocate(count * 4);
    backend_->upload(buffer.data(), values.data(), count * 4);
    return buffer;
  }

  static std::string shape_of(int64_t a, int64_t b) { return std::to_string(a) + " x " + std::to_string(b); }

  // --- ops ----------------------------------------------------------------------------------------------------------

  void norms(int64_t tokens) {
    const int64_t hidden = model_.hidden;
    const Work work = add_rms_norm_work(static_cast<double>(tokens), static_cast<double>(hidden), kBf16);
    const int64_t copies = copies_of(work.bytes());
    const auto x = random_rows(copies, tokens, hidden), residual = random_rows(copies, tokens, hidden);
    const DeviceBuffer weight = random_floats(hidden, 1);
    row("add_rms_norm", shape_of(tokens, hidden), work, copies, [&](int64_t i) {
      backend_->add_rms_norm({x[i], residual[i], x[i], weight.as<float>(), 1e-5f});
    });
    kept_.clear();
  }

  void elementwise(int64_t tokens) {
    const auto count = static_cast<double>(tokens), hidden = static_cast<double>(model_.hidden);
    Work work = gated_mul_work(count, static_cast<double>(model_.mlp), kBf16);
    int64_t copies = copies_of(work.bytes());
    const auto gate_up = random_rows(copies, tokens, 2 * model_.mlp), mlp = random_rows(copies, tokens, model_.mlp);
    row("gated_mul", shape_of(tokens, model_.mlp), work, copies, [&](int64_t i) {
      backend_->gated_mul({mlp[i], gate_up[i]});
    });
    kept_.clear();

    work = gather_rows_work(count, hidden, kBf16);
    copies = copies_of(work.bytes());
    const auto x = random_rows(copies, tokens, model_.hidden), out = random_rows(copies, tokens, model_.hidden);
    const DeviceBuffer indices = shuffled(tokens, tokens);
    row("gather_rows", shape_of(tokens, model_.hidden), work, copies, [&](int64_t i) {
      backend_->gather_rows({out[i], x[i], indices.as<int32_t>()});
    });
    const Weight table = random_weight(model_.vocab, model_.hidden);
    const DeviceBuffer ids = shuffled(model_.vocab, tokens);
    row("embed", shape_of(tokens, model_.hidden), embed_work(count, hidden, 2 * hidden, kBf16), copies, [&](int64_t i) {
      backend_->embed({out[i], table, 0, nullptr, {.tokens = tokens, .input_ids = ids.as<int32_t>()}});
    });
    kept_.clear();
  }

  // `count` of the numbers below `range`, each at most once while they last.
  DeviceBuffer shuffled(int64_t range, int64_t count) {
    std::vector<int32_t> numbers(range);
    for (int64_t i = 0; i < range; ++i) numbers[i] = static_cast<int32_t>(i);
    std::shuffle(numbers.begin(), numbers.end(), std::mt19937(1));
    numbers.resize(count);
    DeviceBuffer buffer = backend_->allocate(count * 4);
    backend_->upload(buffer.data(), numbers.data(), count * 4);
    return buffer;
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
    const int64_t copies = copies_of(2 * size);
    std::vector<Weight> weights;
    for (int64_t i = 0; i < copies; ++i) weights.push_back(random_weight(out_features, in_features));
    const Tensor x = random_rows(tokens, in_features);
    const DeviceBuffer memory = backend_->allocate(tokens * out_features * 4);
    const Tensor out = memory.matrix(out_dtype, tokens, out_features);
    const Work work =
        matmul_work(static_cast<double>(tokens), static_cast<double>(out_features), static_cast<double>(in_features),
                    2 * size, static_cast<double>(dtype_bytes(out_dtype)), kBf16);
    row("matmul", name + " " + shape_of(tokens, in_features) + " x " + std::to_string(out_features), work, copies,
        [&](int64_t i) {
          backend_->matmul({out, x, weights[i]});
        });
    kept_.clear();
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
    StepBuffers buffers({.tokens = tokens, .head_rows = 1, .rows = rows, .table_entries = blocks}, *backend_);
    buffers.upload(plan, tokens, 0, *backend_);
    const StepView step = buffers.view(tokens);

    const int64_t kv_values = blocks * kv_heads * config_.block_size * head_dim;
    const int64_t copies = copies_of(4 * static_cast<double>(kv_values));
    std::vector<KvCache> layers;
    for (int64_t i = 0; i < copies; ++i) {
      void* k = random_rows(1, kv_values).data;
      layers.push_back(
          {k, random_rows(1, kv_values).data, DType::bf16, blocks, kv_heads, config_.block_size, head_dim});
    }
    const auto qkv = random_rows(copies, tokens, shard_.qkv_features());
    const auto out = random_rows(copies, tokens, model_.heads * head_dim);
    const std::vector<float> host_rope = rope_tables(model_, context);
    const DeviceBuffer rope = backend_->allocate(static_cast<int64_t>(host_rope.size()) * 4);
    backend_->upload(rope.data(), host_rope.data(), rope.bytes());

    const std::string shape = kind + " " + shape_of(rows, fresh) + " at " + std::to_string(context);
    const auto heads = static_cast<double>(model_.heads), groups = static_cast<double>(kv_heads),
               width = static_cast<double>(head_dim);
    AttentionReach reach;
    for (int64_t r = 0; r < rows; ++r) reach += attention_reach(context - fresh, fresh, 0);
    const auto scale = 1 / std::sqrt(static_cast<float>(head_dim));
    row("attention", shape, paged_attention_work(reach, heads, groups, width, kBf16), copies, [&](int64_t i) {
      backend_->paged_attention(
          {.out = out[i], .qkv = qkv[i], .heads = model_.heads, .scale = scale, .cache = layers[i], .step = step});
    });
    const Work store = qk_norm_rope_store_work(static_cast<double>(tokens), heads, groups, width, kBf16);
    row("qk_norm_rope", shape, store, copies, [&](int64_t i) {
      backend_->qk_norm_rope_store(
          {.qkv = qkv[i], .heads = model_.heads, .rope = rope.as<float>(), .cache = layers[i], .step = step});
    });
    kept_.clear();
  }

  void heads(int64_t count) {
    const Work work = logits_read_work(static_cast<double>(count), static_cast<double>(model_.vocab));
    const int64_t copies = copies_of(work.bytes());
    std::vector<DeviceBuffer> logits;
    for (int64_t i = 0; i < copies; ++i) logits.push_back(random_floats(count * model_.vocab, 3));
    std::vector<HeadRow> rows(count);
    const DeviceBuffer device_rows = backend_->allocate(count * static_cast<int64_t>(sizeof(HeadRow)));
    const DeviceBuffer results = backend_->allocate(count * static_cast<int64_t>(sizeof(HeadResult)));
    const DeviceBuffer last_tokens = backend_->allocate(count * 4);
    const auto time = [&](const char* what, const std::function<void(const Head&)>& op) {
      backend_->upload(device_rows.data(), rows.data(), device_rows.bytes());
      row(what, shape_of(count, model_.vocab), work, copies, [&](int64_t i) {
        op({logits[i].matrix(DType::f32, count, model_.vocab),
            device_rows.as<HeadRow>(),
            results.as<HeadResult>(),
            last_tokens.as<int32_t>(),
            nullptr,
            {}});
      });
    };
    const auto sample = [&](const Head& head) { backend_->sample(head); };
    for (int32_t r = 0; r < count; ++r) rows[r] = {.slot = r, .position = r};
    time("greedy", sample);
    for (HeadRow& one : rows) one.temperature = 0.8f;
    time("sampling", sample);
    for (HeadRow& one : rows) one.top_p = 0.95f;
    time("top-p 0.95", sample);
    for (HeadRow& one : rows) one.top_p = 1, one.top_k = 50;
    time("top-k 50", sample);
    for (int32_t r = 0; r < count; ++r) rows[r] = {.target = r};
    time("score", [&](const Head& head) { backend_->score(head); });
  }

  const ModelConfig& model_;
  const EngineConfig& config_;
  std::unique_ptr<Backend> backend_;
  ShardPlan shard_;
  std::vector<uint16_t> tile_;
  std::vector<DeviceBuffer> kept_;
  Roofline roof_;
};

}  // namespace

void bench_gpu_ops(const ModelConfig& model, const EngineConfig& config) { GpuOpBench(model, config).run(); }

}  // namespace penstock
