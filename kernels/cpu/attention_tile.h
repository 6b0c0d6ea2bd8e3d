// The inner loops of paged attention. A tile is kTile keys at fixed absolute positions [n kTile, (n + 1) kTile); a
// query is one head of one token. What these loops compute for a query depends on that query and the keys it sees, in
// an order of absolute positions: never on how many queries share the loop.
#pragma once
#include "kernels/cpu/vector.h"

namespace penstock::cpu::PENSTOCK_ISA {

constexpr int kTile = 128;               // positions
constexpr int kGroups = kTile / kLanes;  // vectors of scores in a tile

// How many queries go through the registers together, how many vectors of keys, of a value's row.
#if defined(__AVX512F__)
constexpr int kQueries = 6, kKeyVectors = 2, kValueVectors = 4;
#elif defined(__AVX2__)
constexpr int kQueries = 4, kKeyVectors = 2, kValueVectors = 2;
#else
constexpr int kQueries = 3, kKeyVectors = 2, kValueVectors = 2;
#endif

constexpr int kGroupsAhead = 2;  // how far keys are asked for before they are used: about the latency of memory

// Asks for the cache lines of rows[begin, end).
template <class T>
void ask_for_rows(const T* const* rows, int begin, int end, int64_t head_dim) {
  for (int j = begin; j < end; j++)
    for (int64_t d = 0; d < head_dim; d += 64 / sizeof(T)) __builtin_prefetch(rows[j] + d);
}

// keys_t[group][d][lane] from rows[position in the tile]: lanes become positions. head_dim: a multiple of 4.
// Its first kGroupsAhead groups should have been asked for; it asks for the others, and for all of the values.
template <class T>
void transpose_keys(float* keys_t, const T* const* rows, const T* const* values, int first_group, int last_group,
                    int64_t head_dim) {
  for (int g = first_group; g < last_group; g++) {
    if (g + kGroupsAhead < last_group)
      ask_for_rows(rows, (g + kGroupsAhead) * kLanes, (g + kGroupsAhead + 1) * kLanes, head_dim);
    ask_for_rows(values, g * kLanes, (g + 1) * kLanes, head_dim);
    const T* const* group_rows = rows + g * kLanes;
    float* out = keys_t + g * head_dim * kLanes;
    for (int64_t d = 0; d < head_dim; d += 4, out += 4 * kLanes) {
      Vec a = load_every_fourth(group_rows, d), b = load_every_fourth(group_rows + 1, d);
      Vec c = load_every_fourth(group_rows + 2, d), e = load_every_fourth(group_rows + 3, d);
      transpose_quads(a, b, c, e);
      store(out, a), store(out + kLanes, b), store(out + 2 * kLanes, c), store(out + 3 * kLanes, e);
    }
  }
}

// scores[m][position in the tile] = queries[m] · key, for M queries and N vectors of keys from `group` on.
template <int M, int N>
void score_block(float* scores, const float* const* queries, const float* keys_t, int group, int64_t head_dim) {
  Vec sums[M][N];
#pragma GCC unroll 8
  for (int m = 0; m < M; m++)
#pragma GCC unroll 8
    for (int n = 0; n < N; n++) sums[m][n] = Vec{};
  const float* keys = keys_t + group * head_dim * kLanes;
  for (int64_t d = 0; d < head_dim; d++) {
    Vec key[N];
#pragma GCC unroll 8
    for (int n = 0; n < N; n++) key[n] = load(keys + (n * head_dim + d) * kLanes);
#pragma GCC unroll 8
    for (int m = 0; m < M; m++) {
      Vec q = splat(queries[m][d]);
#pragma GCC unroll 8
      for (int n = 0; n < N; n++) sums[m][n] += q * key[n];
    }
  }
#pragma GCC unroll 8
  for (int m = 0; m < M; m++)
#pragma GCC unroll 8
    for (int n = 0; n < N; n++) store(scores + m * kTile + (group + n) * kLanes, sums[m][n]);
}

template <int M>
void score_groups(float* scores, const float* const* queries, const float* keys_t, int first, int last,
                  int64_t head_dim) {
  constexpr int N = 2 * M <= kQueries ? 2 * kKeyVectors : kKeyVectors;  // few queries: more keys, to hide latency
  int group = first;
  for (; group + N <= last; group += N) score_block<M, N>(scores, queries, keys_t, group, head_dim);
  for (; group < last; group++) score_block<M, 1>(scores, queries, keys_t, group, head_dim);
}

// sums[m][d] += weights[m][j] * rows[j][d] for j in [begin, end), one j after the other, for N vectors of d.
template <int M, int N, class T>
void add_value_block(float* sums, int64_t sums_stride, const float* weights, const T* const* rows, int begin, int end,
                     int64_t d) {
  Vec total[M][N];
#pragma GCC unroll 8
  for (int m = 0; m < M; m++)
#pragma GCC unroll 8
    for (int n = 0; n < N; n++) total[m][n] = load(sums + m * sums_stride + d + n * kLanes);
  for (int j = begin; j < end; j++) {
    Vec value[N];
#pragma GCC unroll 8
    for (int n = 0; n < N; n++) value[n] = load(rows[j] + d + n * kLanes);
#pragma GCC unroll 8
    for (int m = 0; m < M; m++) {
      Vec weight = splat(weights[m * kTile + j]);
#pragma GCC unroll 8
      for (int n = 0; n < N; n++) total[m][n] += weight * value[n];
    }
  }
#pragma GCC unroll 8
  for (int m = 0; m < M; m++)
#pragma GCC unroll 8
    for (int n = 0; n < N; n++) store(sums + m * sums_stride + d + n * kLanes, total[m][n]);
}

// The same for the last head_dim - d < kLanes elements.
template <class T>
void add_value_tail(float* sums, const float* weights, const T* const* rows, int begin, int end, int64_t d,
                    int64_t head_dim) {
  Vec total = load(sums + d);
  for (int j = begin; j < end; j++) total += splat(weights[j]) * load_first(rows[j] + d, head_dim - d);
  store(sums + d, total);
}

template <int M, class T>
void add_values(float* sums, int64_t sums_stride, const float* weights, const T* const* rows, int begin, int end,
                int64_t head_dim) {
  int64_t d = 0;
  for (; d + kValueVectors * kLanes <= head_dim; d += kValueVectors * kLanes)
    add_value_block<M, kValueVectors>(sums, sums_stride, weights, rows, begin, end, d);
  for (; d + kLanes <= head_dim; d += kLanes) add_value_block<M, 1>(sums, sums_stride, weights, rows, begin, end, d);
  if (d < head_dim)
    for (int m = 0; m < M; m++)
      add_value_tail(sums + m * sums_stride, weights + m * kTile, rows, begin, end, d, head_dim);
}

// What a query remembers from tile to tile.
struct SoftmaxState {
  float largest = -__builtin_inff();
  float total = 0;
};

// Turns the raw scores of positions [begin, end) of a tile into weights exp(score - largest so far), zero elsewhere in
// the vectors touched. Returns the factor that brings the sums of earlier tiles to the new largest score.
inline float softmax_tile(SoftmaxState& state, float* scores, int begin, int end, float scale, float soft_cap) {
  const Vec hidden = splat(-__builtin_inff());
  Vec tile_largest = hidden;
  for (int j = begin / kLanes * kLanes; j < end; j += kLanes) {
    Vec score = load(scores + j) * scale;
    if (soft_cap > 0) score = soft_cap * tanh(score / soft_cap);
    IntVec position = lane_index() + j;
    score = (position >= begin) & (position < end) ? score : hidden;
    tile_largest = max(score, tile_largest);
    store(scores + j, score);
  }
  float largest = larger(max(tile_largest), state.largest);
  Vec total = {};
  for (int j = begin / kLanes * kLanes; j < end; j += kLanes) {
    Vec weight = exp(load(scores + j) - largest);
    store(scores + j, weight);
    total += weight;
  }
  float factor = exp(splat(state.largest - largest))[0];
  state.total = state.total * factor + sum(total);
  state.largest = largest;
  return factor;
}

}  // namespace penstock::cpu::PENSTOCK_ISA
