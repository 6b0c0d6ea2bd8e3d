// Attention over sequences whose contents are known, and what it should give.
#pragma once
#include "tests/kernels/paged_fixture.h"

namespace penstock {

struct Variant {
  PagedShape shape;
  int64_t window = 0;
  float soft_cap = 0;
  float scale() const { return 1 / std::sqrt(static_cast<float>(shape.head_dim)); }
};

// The keys, values and queries of sequence s at a position: the same whatever step they are computed in.
inline std::vector<float> vector_of(char what, int64_t sequence, int64_t position, int64_t head, int64_t head_dim,
                                    DType dtype) {
  uint32_t seed = static_cast<uint32_t>(((what * 31 + sequence) * 8191 + position) * 61 + head);
  return rounded(dtype, normal_values(head_dim, seed, what == 'q' ? 2.0f : 1.0f));
}

// A step and its cache on the host. sequences[i] has the contents of sequence ids[i]; what no sequence owns is NaN.
struct AttentionInput {
  std::vector<float> k, v, qkv;

  AttentionInput(const PagedShape& shape, DType activation, const PagedStep& step,
                 const std::vector<PagedSequence>& sequences, const std::vector<int64_t>& ids, int64_t blocks)
      : k(blocks * shape.kv_heads * shape.block_size * shape.head_dim, kNan),
        v(k.size(), kNan),
        qkv(step.tokens() * shape.qkv_width(), kNan) {
    for (size_t s = 0; s < sequences.size(); ++s) {
      const auto row = static_cast<int64_t>(s);
      for (int64_t p = 0; p < sequences[s].context; ++p)
        for (int64_t h = 0; h < shape.kv_heads; ++h) {
          const int64_t at = step.at(shape, row, p, h);
          std::ranges::copy(vector_of('k', ids[s], p, h, shape.head_dim, shape.dtype), k.begin() + at);
          std::ranges::copy(vector_of('v', ids[s], p, h, shape.head_dim, shape.dtype), v.begin() + at);
        }
      for (int64_t t = step.row_begin[s]; t < step.row_begin[s + 1]; ++t)
        for (int64_t h = 0; h < shape.heads; ++h)
          std::ranges::copy(vector_of('q', ids[s], step.positions[t], h, shape.head_dim, activation),
                            qkv.begin() + t * shape.qkv_width() + h * shape.head_dim);
    }
  }
};

inline PagedAttention attention_op(const Variant& variant, const Tensor& out, const Tensor& qkv,
                                   const DeviceCache& cache, const DeviceStep& step) {
  return {.out = out,
          .qkv = qkv,
          .heads = variant.shape.heads,
          .scale = variant.scale(),
          .window = variant.window,
          .soft_cap = variant.soft_cap,
          .cache = cache.view(),
          .step = step.view()};
}

// Runs one step and returns the real tokens' outputs. `spoil` may change the inputs.
inline std::vector<float> run_attention(Backend& backend, const Variant& variant,
                                        const std::vector<PagedSequence>& sequences, const std::vector<int64_t>& ids,
                                        int64_t padding = 2, uint32_t seed = 1,
                                        const std::function<void(AttentionInput&, const PagedStep&)>& spoil = {}) {
  const PagedShape& shape = variant.shape;
  PagedStep step(sequences, shape.block_size, padding, seed);
  AttentionInput input(shape, backend.activation_dtype(), step, sequences, ids, step.blocks);
  if (spoil) spoil(input, step);
  DeviceStep device_step(backend, step);
  DeviceCache cache(backend, shape, step.blocks);
  cache.upload(input.k, input.v);
  const int64_t width = shape.heads * shape.head_dim;
  DeviceNumbers qkv(backend, input.qkv), out(backend, std::vector<float>(step.tokens() * width, kNan));
  backend.paged_attention(attention_op(variant, out.matrix(step.tokens(), width),
                                       qkv.matrix(step.tokens(), shape.qkv_width()), cache, device_step));
  auto got = out.download();
  const size_t real = step.row_begin.back() * width;
  CHECK(slice(got, real, got.size() - real) == std::vector<float>(got.size() - real, 0.0f));
  return slice(got, 0, real);
}

// Sequence s, tokens [context - added, context), in double.
inline std::vector<Expected> attention_reference(const Variant& variant, DType activation, PagedSequence sequence,
                                                 int64_t s) {
  const PagedShape& shape = variant.shape;
  std::vector<Expected> out;
  std::vector<std::vector<float>> k, v;
  for (int64_t p = 0; p < sequence.context && sequence.added > 0; ++p)
    for (int64_t h = 0; h < shape.kv_heads; ++h) {
      k.push_back(vector_of('k', s, p, h, shape.head_dim, shape.dtype));
      v.push_back(vector_of('v', s, p, h, shape.head_dim, shape.dtype));
    }
  for (int64_t t = sequence.context - sequence.added; t < sequence.context; ++t)
    for (int64_t h = 0; h < shape.heads; ++h) {
      auto q = vector_of('q', s, t, h, shape.head_dim, activation);
      int64_t kv_head = h / (shape.heads / shape.kv_heads);
      int64_t first = variant.window > 0 ? std::max<int64_t>(0, t + 1 - variant.window) : 0;
      std::vector<double> weights;
      double total = 0, largest = -1e300;
      for (int64_t p = first; p <= t; ++p) {
        double score = 0;
        for (int64_t d = 0; d < shape.head_dim; ++d)
          score += static_cast<double>(q[d]) * k[p * shape.kv_heads + kv_head][d];
        score *= variant.scale();
        if (variant.soft_cap > 0) score = variant.soft_cap * std::tanh(score / variant.soft_cap);
        weights.push_back(score), largest = std::max(largest, score);
      }
      for (double& weight : weights) total += weight = std::exp(weight - largest);
      for (int64_t d = 0; d < shape.head_dim; ++d) {
        out.emplace_back();
        for (int64_t p = first; p <= t; ++p)
          out.back().add(weights[p - first] / total * v[p * shape.kv_heads + kv_head][d]);
      }
    }
  return out;
}

// Scores are sums of head_dim products of size about 2 |q| |k|: their absolute error is a relative error of the
// weights. With bf16 activations the weights are rounded before they meet the values, and so is the output; what is
// done in f32 adds less than 2^-14.
inline std::string attention_difference(const Backend& backend, std::span<const float> got,
                                        std::span<const Expected> want) {
  if (!has_bf16_activations(backend)) return difference(got, want, 80 * kUlp);
  return difference(got, want, kBf16Roundoff + 0x1p-14, kBf16Roundoff);
}

inline std::vector<Expected> attention_reference(const Variant& variant, DType activation,
                                                 const std::vector<PagedSequence>& sequences,
                                                 const std::vector<int64_t>& ids) {
  std::vector<Expected> want;
  for (size_t s = 0; s < sequences.size(); ++s) {
    auto part = attention_reference(variant, activation, sequences[s], ids[s]);
    want.insert(want.end(), part.begin(), part.end());
  }
  return want;
}

inline void check_attention(Backend& backend, const Variant& variant, const std::vector<PagedSequence>& sequences) {
  std::vector<int64_t> ids(sequences.size());
  std::iota(ids.begin(), ids.end(), 0);
  auto want = attention_reference(variant, backend.activation_dtype(), sequences, ids);
  CHECK(attention_difference(backend, run_attention(backend, variant, sequences, ids), want) == "");
}

}  // namespace penstock
