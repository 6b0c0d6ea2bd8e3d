// What each op cannot do without: arithmetic and bytes, whatever the kernel. Norm weights, biases, RoPE tables and the
// step's own arrays are left out: they are small.
#pragma once
#include <algorithm>
#include <array>
#include <cstdint>

#include "kernels/roofline.h"

namespace penstock {

enum class Op : uint8_t {
  embed,
  qkv,  // this one and the next four are products with a weight
  output,
  gate_up,
  down,
  logits,
  rms_norm,
  add_rms_norm,
  qk_norm_rope_store,
  paged_attention,
  gated_mul,
  gather_rows,
  soft_cap,
  sample,
  score,
  copy_blocks,
  prepare_slot,
  accept_drafts,
};
constexpr int kNumOps = 18;
constexpr const char* op_name(Op op) {
  constexpr const char* names[kNumOps] = {"embed",           "matmul qkv",   "matmul output",
                                          "matmul gate_up",  "matmul down",  "matmul logits",
                                          "rms_norm",        "add_rms_norm", "qk_norm_rope_store",
                                          "paged_attention", "gated_mul",    "gather_rows",
                                          "soft_cap",        "sample",       "score",
                                          "copy_blocks",     "prepare_slot", "accept_drafts"};
  return names[static_cast<int>(op)];
}

struct Work {
  double flops = 0;
  double cold_bytes = 0;  // weights, keys and values: from a device's memory, each once a call
  double warm_bytes = 0;  // activations, which the op before has just written, and out
  double bytes() const { return cold_bytes + warm_bytes; }
  Work& operator+=(const Work& other) {
    flops += other.flops, cold_bytes += other.cold_bytes, warm_bytes += other.warm_bytes;
    return *this;
  }
  bool operator==(const Work&) const = default;
};
inline Work operator*(double times, const Work& work) {
  return {times * work.flops, times * work.cold_bytes, times * work.warm_bytes};
}

using OpWork = std::array<Work, kNumOps>;

// Weights that stay in the caches of a CPU are not read from memory.
inline Roofline roofline_for(Roofline roof, int64_t weight_bytes) {
  constexpr int64_t kFits = 64 << 20;
  if (weight_bytes <= kFits) roof.memory_bytes = roof.cache_bytes;
  return roof;
}

// No op is done sooner: its arithmetic and its bytes may overlap, but neither can be hurried.
inline double arithmetic_seconds(const Work& work, const Roofline& roof) { return work.flops / roof.flops; }
inline double bytes_seconds(const Work& work, const Roofline& roof) {
  return work.cold_bytes / roof.memory_bytes + work.warm_bytes / roof.cache_bytes;
}
inline double least_seconds(const Work& work, const Roofline& roof) {
  return std::max(arithmetic_seconds(work, roof), bytes_seconds(work, roof));
}

// Bytes of an element of activations (logits are f32 everywhere) and of the KV cache.
struct ElementBytes {
  double activation = 4, kv = 4;
};

// `row_bytes`: of a row of the table.
inline Work embed_work(double tokens, double hidden, double row_bytes, ElementBytes e) {
  return {0, tokens * row_bytes, tokens * hidden * e.activation};
}
inline Work matmul_work(double tokens, double out_features, double in_features, double weight_bytes, double out_bytes,
                        ElementBytes e) {
  return {2 * tokens * in_features * out_features, weight_bytes,
          tokens * (in_features * e.activation + out_features * out_bytes)};
}
inline Work rms_norm_work(double tokens, double hidden, ElementBytes e) {
  return {3 * tokens * hidden, 0, 2 * tokens * hidden * e.activation};
}
inline Work add_rms_norm_work(double tokens, double hidden, ElementBytes e) {
  return {4 * tokens * hidden, 0, 4 * tokens * hidden * e.activation};
}
inline Work qk_norm_rope_store_work(double tokens, double heads, double kv_heads, double head_dim, ElementBytes e) {
  const double q = tokens * heads * head_dim, k = tokens * kv_heads * head_dim;
  return {3 * (q + k), 2 * k * e.kv, 2 * (q + k) * e.activation};
}

// How many keys the tokens of a row meet, and how many there are to read, once for all its tokens.
struct AttentionReach {
  double tokens = 0, pairs = 0, keys = 0;
  AttentionReach& operator+=(const AttentionReach& other) {
    tokens += other.tokens, pairs += other.pairs, keys += other.keys;
    return *this;
  }
};
// Of `tokens` new ones after `before` others; each sees itself and the window - 1 before it (0: all).
inline AttentionReach attention_reach(int64_t before, int64_t tokens, int64_t window) {
  const auto sum_to = [](int64_t n) { return static_cast<double>(n) * static_cast<double>(n + 1) / 2; };
  const int64_t context = before + tokens;
  if (window == 0 || context <= window)
    return {static_cast<double>(tokens), sum_to(context) - sum_to(before), static_cast<double>(context)};
  const int64_t growing = std::max<int64_t>(0, window - before);  // tokens that see less than a window, or just one
  const double pairs = growing > 0 ? sum_to(window) - sum_to(before) : 0;
  return {static_cast<double>(tokens), pairs + static_cast<double>((tokens - growing) * window),
          static_cast<double>(std::min(context, window + tokens - 1))};
}
inline Work paged_attention_work(const AttentionReach& reach, double heads, double kv_heads, double head_dim,
                                 ElementBytes e) {
  return {4 * reach.pairs * heads * head_dim, 2 * reach.keys * kv_heads * head_dim * e.kv,
          2 * reach.tokens * heads * head_dim * e.activation};
}
inline Work gated_mul_work(double tokens, double mlp, ElementBytes e) {
  return {0, 0, 3 * tokens * mlp * e.activation};
}
inline Work gather_rows_work(double rows, double hidden, ElementBytes e) {
  return {0, 0, 2 * rows * hidden * e.activation};
}
inline Work soft_cap_work(double rows, double vocab) { return {0, 0, 2 * rows * vocab * 4}; }
// Sample and score alike: one read.
inline Work logits_read_work(double rows, double vocab) { return {0, 0, rows * vocab * 4}; }

}  // namespace penstock
