// The decoder's scratch memory: carved once for the largest step, narrowed by every step.
#pragma once
#include <algorithm>
#include <limits>
#include <vector>

#include "engine/model/model_config.h"
#include "engine/model/shard_plan.h"
#include "kernels/backend.h"

namespace penstock {

struct Activations {
  // The trunk's, for `tokens` tokens.
  Tensor residual;   // [tokens, hidden]
  Tensor hidden;     // [tokens, hidden]
  Tensor qkv;        // [tokens, (heads + 2 kv_heads) head_dim / ranks]
  Tensor attention;  // [tokens, heads head_dim / ranks]
  Tensor gate_up;    // [tokens, 2 mlp / ranks]
  Tensor mlp;        // [tokens, mlp / ranks]
  Tensor fetched;    // [(ranks - 1) tokens, hidden], for Communicator::begin_sum; empty but in halves of a step
  // The head's, for `rows` wanted tokens.
  Tensor wanted;  // [rows, hidden]
  Tensor part;    // [rows, vocab / ranks]
  Tensor logits;  // [rows, vocab, padded to a multiple of ranks]; f32
  // With several ranks, for the rows that candidates decide.
  Tensor candidates;      // [rows, kCandidateParts] Candidate, as f32
  Tensor all_candidates;  // [rows, ranks kCandidateParts]
  Tensor tallies;         // [rows, kCandidateParts] Tally, as f32
  Tensor all_tallies;     // [rows, ranks kCandidateParts]
  Tensor open, others;    // [rows] HeadRow, as f32

  bool is_half() const { return fetched.rows > 0; }

  static constexpr int64_t kCandidateFloats = kCandidateParts * sizeof(Candidate) / sizeof(float);
  static constexpr int64_t kTallyFloats = kCandidateParts * sizeof(Tally) / sizeof(float);
};

// The largest step, and from how many tokens on one is computed in halves (EngineConfig::halved_from).
struct ActivationSize {
  int64_t tokens, rows;
  int64_t halved_from = std::numeric_limits<int64_t>::max();
};

class ActivationBuffers {
 public:
  ActivationBuffers(const ModelConfig& model, const ShardPlan& shard, Backend& backend, const ActivationSize& largest)
      : shapes_(carve(model, shard, backend.activation_dtype(), largest, nullptr)),
        buffer_(backend.allocate(bytes_of(shapes_))),
        halved_from_(largest.halved_from) {
    shapes_ = carve(model, shard, backend.activation_dtype(), largest, buffer_.as<char>());
  }

  int64_t tokens() const { return shapes_.hidden.rows; }

  // Views of the first `tokens` and `rows`.
  Activations narrow(int64_t tokens, int64_t rows) const {
    Activations a = shapes_;
    for (Tensor* x : {&a.residual, &a.hidden, &a.qkv, &a.attention, &a.gate_up, &a.mlp}) *x = x->first_rows(tokens);
    for (Tensor* x : {&a.wanted, &a.part, &a.logits, &a.candidates, &a.all_candidates, &a.tallies, &a.all_tallies})
      *x = x->first_rows(rows);
    a.fetched.rows = 0;
    return a;
  }

  // The trunk's, of a step's tokens or of each half of them.
  std::vector<Activations> parts(int64_t tokens) const {
    if (tokens < std::max<int64_t>(2, halved_from_)) return {narrow(tokens, 0)};
    const int64_t first = (tokens + 1) / 2;
    return {range(0, first), range(first, tokens - first)};
  }

  static int64_t bytes(const ModelConfig& model, const ShardPlan& shard, DType dtype, const ActivationSize& largest) {
    return bytes_of(carve(model, shard, dtype, largest, nullptr));
  }

 private:
  static constexpr int64_t kAlign = 128;

  Activations range(int64_t begin, int64_t count) const {
    Activations a = narrow(0, 0);
    for (Tensor* x : {&a.residual, &a.hidden, &a.qkv, &a.attention, &a.gate_up, &a.mlp})
      *x = x->row_range(begin, count);
    const int64_t others = shapes_.fetched.rows / tokens();
    a.fetched = shapes_.fetched.row_range(others * begin, others * count);
    return a;
  }

  static int64_t end_of(const Tensor& x) {
    int64_t end = reinterpret_cast<int64_t>(x.data) + x.rows * x.stride * dtype_bytes(x.dtype);
    return (end + kAlign - 1) / kAlign * kAlign;
  }
  static int64_t bytes_of(const Activations& a) { return std::max(end_of(a.logits), end_of(a.others)); }

  static Activations carve(const ModelConfig& m, const ShardPlan& shard, DType dtype, const ActivationSize& largest,
                           char* base) {
    const auto [tokens, rows, halved_from] = largest;
    char* at = base;
    auto cut = [&](DType type, int64_t count, int64_t cols) {
      int64_t row = (cols * dtype_bytes(type) + kAlign - 1) / kAlign * kAlign;
      Tensor x{at, type, count, cols, row / dtype_bytes(type)};
      at += count * row;
      return x;
    };
    Activations a;
    a.residual = cut(dtype, tokens, m.hidden);
    a.hidden = cut(dtype, tokens, m.hidden);
    a.qkv = cut(dtype, tokens, shard.qkv_features());
    a.attention = cut(dtype, tokens, shard.heads() * m.head_dim);
    a.gate_up = cut(dtype, tokens, 2 * shard.mlp());
    a.mlp = cut(dtype, tokens, shard.mlp());
    a.fetched = cut(dtype, tokens >= halved_from ? (shard.ranks() - 1) * tokens : 0, m.hidden);
    a.wanted = cut(dtype, rows, m.hidden);
    a.part = cut(DType::f32, rows, shard.vocab());
    a.logits = shard.ranks() == 1 ? a.part : cut(DType::f32, rows, shard.vocab() * shard.ranks());
    if (shard.ranks() > 1) {
      a.candidates = cut(DType::f32, rows, Activations::kCandidateFloats);
      a.all_candidates = cut(DType::f32, rows, shard.ranks() * Activations::kCandidateFloats);
      a.tallies = cut(DType::f32, rows, Activations::kTallyFloats);
      a.all_tallies = cut(DType::f32, rows, shard.ranks() * Activations::kTallyFloats);
      a.open = cut(DType::f32, 1, rows * static_cast<int64_t>(sizeof(HeadRow) / sizeof(float)));
      a.others = cut(DType::f32, 1, rows * static_cast<int64_t>(sizeof(HeadRow) / sizeof(float)));
    }
    return a;
  }

  Activations shapes_;
  DeviceBuffer buffer_;
  int64_t halved_from_;
};

}  // namespace penstock
