#include "kernels/cpu/norm_row.h"
#include "kernels/cpu/ops.h"
#include "kernels/cpu/paged_rows.h"
#include "kernels/cpu/vector.h"

namespace penstock::cpu::PENSTOCK_ISA {

namespace {

// One head; out may be x. cos_sin: one row of the table.
void rotate(float* out, const float* x, const float* cos_sin, int64_t rotary_dim, int64_t head_dim) {
  int64_t half = rotary_dim / 2, i = 0;
  const float *cosine = cos_sin, *sine = cos_sin + half;
  for (; i + kLanes <= half; i += kLanes) {
    Vec c = load(cosine + i), s = load(sine + i), a = load(x + i), b = load(x + half + i);
    store(out + i, a * c - b * s);
    store(out + half + i, b * c + a * s);
  }
  for (; i < half; i++) {
    float a = x[i], b = x[half + i];
    out[i] = a * cosine[i] - b * sine[i];
    out[half + i] = b * cosine[i] + a * sine[i];
  }
  if (out != x) std::memcpy(out + rotary_dim, x + rotary_dim, (head_dim - rotary_dim) * sizeof(float));
}

template <class T>
void store_row(T* out, const float* x, int64_t n) {
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) store(out + i, load(x + i));
  if (i < n) store_first(out + i, load_first(x + i, n - i), n - i);
}

template <class T>
void store_token(const QkNormRopeStore& op, int64_t t, int64_t position, float* key) {
  const KvCache& cache = op.cache;
  int64_t head_dim = cache.head_dim, row = op.step.token_rows[t];
  int64_t rotary_dim = op.rotary_dim > 0 ? op.rotary_dim : head_dim;
  int64_t entry = position + (op.step.row_rope ? op.step.row_rope[row] : 0);
  const float* cos_sin = op.rope ? op.rope + entry * rotary_dim : nullptr;
  float* q = op.qkv.row<float>(t);
  for (int64_t h = 0; h < op.heads; h++, q += head_dim) {
    if (op.q_norm) norm_row(q, q, op.q_norm, head_dim, op.norm_eps);
    if (cos_sin) rotate(q, q, cos_sin, rotary_dim, head_dim);
  }
  const float *k = q, *v = q + cache.kv_heads * head_dim;
  for (int64_t h = 0; h < cache.kv_heads; h++, k += head_dim, v += head_dim) {
    const float* ready = k;
    if (op.k_norm) norm_row(key, ready, op.k_norm, head_dim, op.norm_eps), ready = key;
    if (cos_sin) rotate(key, ready, cos_sin, rotary_dim, head_dim), ready = key;
    store_row(PagedRows<T>(cache, cache.k, op.step, row, h).at(position), ready, head_dim);
    store_row(PagedRows<T>(cache, cache.v, op.step, row, h).at(position), v, head_dim);
  }
}

}  // namespace

// Each worker takes whole tokens. The k part of qkv stays as it was: only the cache needs the rotated key.
void qk_norm_rope_store(ThreadPool& pool, const QkNormRopeStore& op) {
  constexpr int64_t kMaxHeadDim = 512;
  int64_t head_dim = op.cache.head_dim, width = (op.heads + 2 * op.cache.kv_heads) * head_dim;
  if (head_dim % 4 != 0 || head_dim > kMaxHeadDim)
    throw Error(ExitCode::internal, "qk_norm_rope_store: head_dim must be a multiple of 4 up to 512");
  pool.parallel_for(op.step.tokens, worthwhile_rows(width), [&](int64_t begin, int64_t end) {
    float key[kMaxHeadDim];
    for (int64_t t = begin; t < end; t++) {
      int64_t position = op.step.positions[t];
      if (position < 0) continue;
      if (op.cache.dtype == DType::bf16)
        store_token<uint16_t>(op, t, position, key);
      else
        store_token<float>(op, t, position, key);
    }
  });
}

}  // namespace penstock::cpu::PENSTOCK_ISA
