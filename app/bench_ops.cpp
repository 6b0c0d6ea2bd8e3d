#include "app/bench_ops.h"

#include <algorithm>
#include <cstdio>
#include <functional>
#include <random>
#include <string>
#include <vector>

#include "engine/model/rope_table.h"
#include "engine/model/weights.h"
#include "engine/stage_timer.h"
#include "engine/step/op_work.h"
#include "engine/step/step_buffers.h"
#include "kernels/cpu/cpu_backend.h"

namespace penstock {

namespace {

constexpr int64_t kColdBytes = 128 << 20;  // larger than the caches of most machines

// Of at least three calls, after one that is not counted.
double median_seconds(const std::function<void()>& call) {
  constexpr double kBudget = 0.1;
  call();
  std::vector<double> times;
  for (double total = 0; times.size() < 3 || (total < kBudget && times.size() < 2000); total += times.back()) {
    const double start = monotonic_seconds();
    call();
    times.push_back(monotonic_seconds() - start);
  }
  std::sort(times.begin(), times.end());
  return times[times.size() / 2];
}

class OpBench {
 public:
  OpBench(const ModelConfig& model, const EngineConfig& config)
      : model_(model),
        config_(config),
        backend_({.dtype = config.dtype, .threads = std::max(1, config.threads)}),
        shard_(model, 0, 1),
        elements_{static_cast<double>(dtype_bytes(backend_.activation_dtype())),
                  static_cast<double>(dtype_bytes(backend_.kv_dtype()))},
        roof_(backend_.measure_roofline()),
        limit_(roofline_for(roof_, weight_bytes(model, shard_, backend_))),
        is_cold_(limit_.memory_bytes == roof_.memory_bytes) {}

  void run() {
    print_roofline();
    const int64_t q = model_.heads * model_.head_dim;
    matmuls("qkv", shard_.qkv_features(), model_.hidden);
    matmuls("attention out", model_.hidden, q);
    matmuls("gate_up", 2 * model_.mlp, model_.hidden);
    matmuls("down", model_.hidden, model_.mlp);
    matmuls("logits", model_.vocab, model_.hidden);
    for (int64_t tokens : {32, 512}) {
      norms(tokens);
      gated_mul(tokens);
    }
    const int64_t context = std::min<int64_t>(128, model_.max_positions),
                  chunk = std::min<int64_t>(512, model_.max_positions);
    sequences("decode 32 x context " + std::to_string(context), 32, 1, context);
    sequences("prefill " + std::to_string(chunk), 1, chunk, chunk);
    heads();
  }

 private:
  void print_roofline() const {
    std::printf("%s, %d threads, %s: %.1f GFLOP/s in registers, %.1f GB/s from memory, %.1f GB/s from cache\n",
                cpu::ops().name, backend_threads(), dtype_name(config_.dtype), roof_.flops * 1e-9,
                roof_.memory_bytes * 1e-9, roof_.cache_bytes * 1e-9);
    std::printf("weights and keys come from %s\n", is_cold_ ? "memory" : "the caches, for they fit");
    std::printf("%-14s %-28s %12s %10s %8s  %s\n", "op", "shape", "us", "GFLOP/s", "GB/s", "of the roofline");
  }
  int backend_threads() const { return std::max(1, config_.threads); }

  // call(i) is the i-th call: it picks the copy.
  void row(const std::string& op, const std::string& shape, const Work& work,
           const std::function<void(int64_t)>& call) {
    int64_t count = 0;
    const double seconds = median_seconds([&] { call(count++); });
    std::printf("%-14s %-28s %12.1f %10.1f %8.1f  %5.1f %% (%s)\n", op.c_str(), shape.c_str(), seconds * 1e6,
                work.flops / seconds * 1e-9, work.bytes() / seconds * 1e-9, 100 * least_seconds(work, limit_) / seconds,
                arithmetic_seconds(work, limit_) > bytes_seconds(work, limit_) ? "FLOPs" : "bytes");
    std::fflush(stdout);
  }

  int64_t copies(int64_t bytes) const { return is_cold_ ? kColdBytes / std::max<int64_t>(1, bytes) + 1 : 1; }

  // [rows, cols] f32 in (-1, 1).
  DeviceBuffer random_floats(int64_t count) {
    DeviceBuffer buffer = backend_.allocate(count * 4);
    uint32_t state = 1;
    for (int64_t i = 0; i < count; ++i) {
      state = state * 1664525u + 1013904223u;
      buffer.as<float>()[i] = static_cast<float>(static_cast<int32_t>(state)) * 0x1p-31f;
    }
    return buffer;
  }

  std::vector<Weight> random_weights(int64_t out_features, int64_t in_features) {
    const DeviceBuffer values = random_floats(out_features * in_features);
    const HostMatrix part{values.data(), DType::f32, out_features, in_features, in_features};
    std::vector<Weight> weights;
    do {
      weights.push_back(backend_.allocate_weight(out_features, in_features, DType::bf16));
      backend_.store_weight(weights.back(), 0, part);
    } while (static_cast<int64_t>(weights.size()) < copies(weights.back().storage.bytes()));
    return weights;
  }

  void matmuls(const std::string& name, int64_t out_features, int64_t in_features) {
    const std::vector<Weight> weights = random_weights(out_features, in_features);
    const DeviceBuffer x = random_floats(512 * in_features), out = random_floats(512 * out_features);
    for (int64_t tokens : {1, 32, 512}) {
      const Work work =
          matmul_work(static_cast<double>(tokens), static_cast<double>(out_features), static_cast<double>(in_features),
                      static_cast<double>(weights[0].storage.bytes()), elements_.activation, elements_);
      row("matmul",
          name + " " + std::to_string(tokens) + " x " + std::to_string(in_features) + " x " +
              std::to_string(out_features),
          work, [&](int64_t i) {
            backend_.matmul({out.matrix(DType::f32, tokens, out_features), x.matrix(DType::f32, tokens, in_features),
                             weights[i % weights.size()]});
          });
    }
  }

  void norms(int64_t tokens) {
    const int64_t hidden = model_.hidden;
    const DeviceBuffer a = random_floats(tokens * hidden), b = random_floats(tokens * hidden),
                       w = random_floats(hidden);
    const Tensor x = a.matrix(DType::f32, tokens, hidden), residual = b.matrix(DType::f32, tokens, hidden);
    const DeviceBuffer c = random_floats(tokens * hidden);
    const Tensor out = c.matrix(DType::f32, tokens, hidden);
    const auto count = static_cast<double>(tokens), width = static_cast<double>(hidden);
    const std::string shape = std::to_string(tokens) + " x " + std::to_string(hidden);
    row("rms_norm", shape, rms_norm_work(count, width, elements_), [&](int64_t) {
      backend_.rms_norm({out, x, w.as<float>(), 1e-5f});
    });
    row("add_rms_norm", shape, add_rms_norm_work(count, width, elements_), [&](int64_t) {
      backend_.add_rms_norm({out, residual, x, w.as<float>(), 1e-5f});
    });
  }

  void gated_mul(int64_t tokens) {
    const DeviceBuffer a = random_floats(tokens * 2 * model_.mlp), b = random_floats(tokens * model_.mlp);
    const Work work = gated_mul_work(static_cast<double>(tokens), static_cast<double>(model_.mlp), elements_);
    row("gated_mul", std::to_string(tokens) + " x " + std::to_string(model_.mlp), work, [&](int64_t) {
      backend_.gated_mul({b.matrix(DType::f32, tokens, model_.mlp), a.matrix(DType::f32, tokens, 2 * model_.mlp)});
    });
  }

  // `rows` sequences of `context` tokens, the last `fresh` of them new, in scattered blocks.
  StepPlan plan_of(int64_t rows, int64_t fresh, int64_t context) {
    std::mt19937 random(1);
    StepPlan plan;
    const auto blocks = static_cast<int32_t>((context + config_.block_size - 1) / config_.block_size);
    for (int32_t r = 0; r < rows; ++r) {
      plan.rows.push_back({.slot = r,
                           .first_token = static_cast<int32_t>(r * fresh),
                           .num_tokens = static_cast<int32_t>(fresh),
                           .first_position = static_cast<int32_t>(context - fresh),
                           .first_block = r * blocks,
                           .num_blocks = blocks});
      for (int64_t t = 0; t < fresh; ++t)
        plan.input_ids.push_back(static_cast<int32_t>(random() % static_cast<uint32_t>(model_.vocab)));
    }
    for (int32_t b = 0; b < rows * blocks; ++b) plan.block_tables.push_back(b);
    std::shuffle(plan.block_tables.begin(), plan.block_tables.end(), random);
    return plan;
  }

  void sequences(const std::string& shape, int64_t rows, int64_t fresh, int64_t context) {
    const int64_t tokens = rows * fresh, head_dim = model_.head_dim, kv_heads = model_.kv_heads;
    const StepPlan plan = plan_of(rows, fresh, context);
    const auto blocks = static_cast<int64_t>(plan.block_tables.size());
    StepBuffers buffers({.tokens = tokens, .head_rows = 1, .rows = rows, .table_entries = blocks}, backend_);
    buffers.upload(plan, tokens, 0, backend_);
    const StepView step = buffers.view(tokens);

    // K and V of several layers. Zeros are as good as other numbers here: the arithmetic takes as long.
    const int64_t kv_values = blocks * kv_heads * config_.block_size * head_dim;
    const int64_t kv_bytes = kv_values * dtype_bytes(backend_.kv_dtype());
    std::vector<DeviceBuffer> memory;
    std::vector<KvCache> layers;
    for (int64_t i = 0; i < copies(2 * kv_bytes); ++i) {
      for (int half = 0; half < 2; ++half) {
        memory.push_back(backend_.allocate(kv_bytes));
        backend_.fill_zero(memory.back().data(), kv_bytes);
      }
      layers.push_back({memory[2 * i].data(), memory[2 * i + 1].data(), backend_.kv_dtype(), blocks, kv_heads,
                        config_.block_size, head_dim});
    }
    const DeviceBuffer x = random_floats(tokens * shard_.qkv_features()),
                       y = random_floats(tokens * model_.heads * head_dim);
    const Tensor qkv = x.matrix(DType::f32, tokens, shard_.qkv_features());
    const Tensor out = y.matrix(DType::f32, tokens, model_.heads * head_dim);
    const std::vector<float> rope = rope_tables(model_, context);

    embed(shape, tokens, step);
    const auto heads = static_cast<double>(model_.heads), groups = static_cast<double>(kv_heads),
               width = static_cast<double>(head_dim);
    const Work store = qk_norm_rope_store_work(static_cast<double>(tokens), heads, groups, width, elements_);
    row("qk_norm_rope", shape, store, [&](int64_t i) {
      backend_.qk_norm_rope_store(
          {.qkv = qkv, .heads = model_.heads, .rope = rope.data(), .cache = layers[i % layers.size()], .step = step});
    });
    AttentionReach reach;
    for (int64_t r = 0; r < rows; ++r) reach += attention_reach(context - fresh, fresh, 0);
    row("attention", shape, paged_attention_work(reach, heads, groups, width, elements_), [&](int64_t i) {
      backend_.paged_attention({.out = out,
                                .qkv = qkv,
                                .heads = model_.heads,
                                .scale = 0.125f,
                                .cache = layers[i % layers.size()],
                                .step = step});
    });
  }

  void embed(const std::string& shape, int64_t tokens, const StepView& step) {
    const std::vector<Weight> tables = random_weights(model_.vocab, model_.hidden);
    const DeviceBuffer out = random_floats(tokens * model_.hidden);
    const auto hidden = static_cast<double>(model_.hidden);
    const double row_bytes = hidden * static_cast<double>(dtype_bytes(tables[0].dtype));
    row("embed", shape, embed_work(static_cast<double>(tokens), hidden, row_bytes, elements_), [&](int64_t i) {
      // All ids are known, so no slot is read.
      backend_.embed({out.matrix(DType::f32, tokens, model_.hidden), tables[i % tables.size()], 0, nullptr, step});
    });
  }

  void heads() {
    constexpr int64_t kRows = 32;
    const DeviceBuffer x = random_floats(512 * model_.hidden), wanted = random_floats(kRows * model_.hidden);
    std::vector<int32_t> indices(kRows), last_tokens(kRows);
    for (int64_t r = 0; r < kRows; ++r) indices[r] = static_cast<int32_t>(r * 16);
    row("gather_rows", "32 of 512 x " + std::to_string(model_.hidden),
        gather_rows_work(kRows, static_cast<double>(model_.hidden), elements_), [&](int64_t) {
          backend_.gather_rows({wanted.matrix(DType::f32, kRows, model_.hidden),
                                x.matrix(DType::f32, 512, model_.hidden), indices.data()});
        });

    const DeviceBuffer values = random_floats(kRows * model_.vocab);
    for (int64_t i = 0; i < kRows * model_.vocab; ++i) values.as<float>()[i] *= 10;  // some ids are likelier
    const Tensor logits = values.matrix(DType::f32, kRows, model_.vocab);
    std::vector<HeadRow> rows(kRows);
    std::vector<HeadResult> results(kRows);
    const Head head{logits, rows.data(), results.data(), last_tokens.data(), nullptr, {}};
    const Work work = logits_read_work(kRows, static_cast<double>(model_.vocab));
    const std::string shape = "32 x " + std::to_string(model_.vocab);
    for (int32_t r = 0; r < kRows; ++r) rows[r] = {.slot = r, .position = r};
    row("sample", shape + ", greedy", work, [&](int64_t) { backend_.sample(head); });
    for (HeadRow& one : rows) one.temperature = 0.8f, one.top_p = 0.9f;
    row("sample", shape + ", top-p 0.9", work, [&](int64_t) { backend_.sample(head); });
    for (int32_t r = 0; r < kRows; ++r) rows[r] = {.target = r % static_cast<int32_t>(model_.vocab)};
    row("score", shape, work, [&](int64_t) { backend_.score(head); });
  }

  const ModelConfig& model_;
  const EngineConfig& config_;
  cpu::CpuBackend backend_;
  ShardPlan shard_;
  ElementBytes elements_;
  Roofline roof_, limit_;  // the machine's; with weights where they are
  bool is_cold_;
};

}  // namespace

void bench_ops(const ModelConfig& model, const EngineConfig& config) {
  if (config.device != DeviceKind::cpu) return bench_gpu_ops(model, config);
  OpBench(model, config).run();
}

}  // namespace penstock
