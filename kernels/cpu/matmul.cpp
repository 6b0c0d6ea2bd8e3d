// out = x · weightᵀ (+ bias) (+ out), from weights packed in panels of 32 columns (packed_weight.h).
//
// One tile is R rows of x against V vectors of columns, with all R * V sums in registers: a step loads V vectors of
// weights, broadcasts R inputs, and does R * V multiply-adds. Every sum is one chain over k in ascending order,
// whatever R, V, the block or the worker, so a row's bits depend on nothing but the row. Few rows are bound by the
// bytes of the weights (each is read once, ahead of its use), many rows by the multiply-adds. Workers own contiguous
// panels.
#include "kernels/cpu/ops.h"
#include "kernels/cpu/packed_weight.h"
#include "kernels/cpu/vector.h"

namespace penstock::cpu::PENSTOCK_ISA {
namespace {

constexpr int kMaxRows = kLanes == 16 ? 12 : 6;  // of a tile; its sums fill 24 of 32 registers, or 12 of 16
constexpr int kPanelVectors = kPanelColumns / kLanes;
constexpr int kNarrow = 2;                  // vectors of a tile when there are many rows
constexpr int64_t kGroupBytes = 384 << 10;  // inputs that stay in the second-level cache while panels pass by
constexpr int64_t kMaxGroup = 32;           // row blocks, at most
constexpr int64_t kBlockSteps = 2048;       // the part of a panel that a group's row blocks use in turn
constexpr int64_t kPrefetchBytes = 2048;    // how far ahead weights are asked for when each is used once

constexpr int vectors_for(int rows) { return rows <= kMaxRows / 4 ? 8 : rows <= kMaxRows / 2 ? 4 : kNarrow; }

// How a unit of packed weights meets its inputs.
enum class Kind {
  f32,    // an f32 weight, an f32 input
  widen,  // a pair of bf16 weights, widened exactly; two f32 inputs
  dot,    // a pair of bf16 weights, a pair of bf16 inputs, summed by vdpbf16ps
};

struct Tile {
  const uint32_t* x;    // inputs of the first row at the first step: 32-bit units, two a step for `widen`
  int64_t x_stride;     // units
  const char* weights;  // of the first column at the first step
  int64_t panel_bytes;
  int64_t steps;
  bool half_step;      // widen: after `steps` comes a pair whose second weight is padding
  bool resume;         // continue from `sums` instead of zero
  float* sums;         // [R][V * kLanes]
  int64_t prefetch;    // bytes from the weights in use to those that are asked for
  bool prefetch_both;  // both cache lines of a step, or the first
};

template <Kind kind>
inline Vec multiply_add(Vec sum, const uint32_t* x, UintVec weight) {
#if defined(__AVX512BF16__)
  if constexpr (kind == Kind::dot)
    return _mm512_dpbf16_ps(sum, (__m512bh)_mm512_set1_epi32(static_cast<int>(*x)), (__m512bh)weight);
#endif
  return sum + splat(bit_cast_to<float>(*x)) * bit_cast_to<Vec>(weight);
}

// Adds one input of each of the R rows, times V vectors of weights. Rows are addressed from every third one, so that
// all addresses are one of four pointers plus 0, 1 or 2 strides.
template <Kind kind, int R, int V>
inline void add_products(Vec (&sums)[R][V], const uint32_t* const (&x)[4], int64_t stride, int64_t at,
                         const UintVec (&weights)[V]) {
#pragma GCC unroll 12
  for (int r = 0; r < R; ++r)
#pragma GCC unroll 8
    for (int v = 0; v < V; ++v) sums[r][v] = multiply_add<kind>(sums[r][v], x[r / 3] + r % 3 * stride + at, weights[v]);
}

template <Kind kind, int R, int V>
void run_tile(const Tile& tile) {
  Vec sums[R][V] = {};
  if (tile.resume) std::memcpy(sums, tile.sums, sizeof(sums));
  const int64_t stride = tile.x_stride;
  const uint32_t* x[4] = {tile.x, tile.x + 3 * stride, tile.x + 6 * stride, tile.x + 9 * stride};
  const char* weights = tile.weights;
  auto load = [&](UintVec(&units)[V]) {
#pragma GCC unroll 8
    for (int v = 0; v < V; ++v)
      std::memcpy(&units[v], weights + v / kPanelVectors * tile.panel_bytes + v % kPanelVectors * sizeof(Vec),
                  sizeof(Vec));
  };
  auto widen = [](UintVec(&units)[V], bool odd) {
#pragma GCC unroll 8
    for (int v = 0; v < V; ++v) units[v] = odd ? units[v] & 0xFFFF0000u : units[v] << 16;
  };
  UintVec units[V];
  for (int64_t step = 0; step < tile.steps; ++step, weights += kStepBytes) {
#pragma GCC unroll 4
    for (int v = 0; v < V; v += kPanelVectors) {
      const char* ahead = weights + v / kPanelVectors * tile.panel_bytes + tile.prefetch;
      __builtin_prefetch(ahead);
      if (tile.prefetch_both) __builtin_prefetch(ahead + 64);
    }
    load(units);
    if constexpr (kind == Kind::widen) {
      UintVec odd[V];
      std::memcpy(odd, units, sizeof(odd));
      widen(units, false);
      add_products<kind, R, V>(sums, x, stride, 2 * step, units);
      widen(odd, true);
      add_products<kind, R, V>(sums, x, stride, 2 * step + 1, odd);
    } else {
      add_products<kind, R, V>(sums, x, stride, step, units);
    }
  }
  if (kind == Kind::widen && tile.half_step) {
    load(units);
    widen(units, false);
    add_products<kind, R, V>(sums, x, stride, 2 * tile.steps, units);
  }
  std::memcpy(tile.sums, sums, sizeof(sums));
}

// run_tile for each number of rows: `wide` for a call with a single row block, `narrow` for the rest of its columns and
// for several row blocks.
struct TileTable {
  using Run = void (*)(const Tile&);
  Run narrow[kMaxRows + 1] = {};
  Run wide[kMaxRows + 1] = {};
};

template <Kind kind, int R = 1>
constexpr void fill(TileTable& table) {
  table.narrow[R] = run_tile<kind, R, kNarrow>;
  table.wide[R] = run_tile<kind, R, vectors_for(R)>;
  if constexpr (R < kMaxRows) fill<kind, R + 1>(table);
}

template <Kind kind>
constexpr TileTable make_table() {
  TileTable table;
  fill<kind>(table);
  return table;
}

template <Kind kind>
constexpr TileTable kTiles = make_table<kind>();

// What all workers share.
struct Job {
  const Matmul& op;
  const TileTable& tiles;
  const uint32_t* x;
  int64_t x_stride;        // units
  int64_t units_per_step;  // of x: two for `widen`
  int64_t steps, whole_steps;
  int64_t row_blocks;
  int64_t group;  // row blocks that share a panel while it is in cache

  int64_t block_row(int64_t block) const { return op.x.rows * block / row_blocks; }
};

// Asks for the cache lines that a tile will end in, so that they are there when its sums are.
void fetch_outputs(const Tensor& out, int64_t row, int64_t rows, int64_t column, int64_t columns) {
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t c = 0; c < columns; c += 16) __builtin_prefetch(out.row<float>(row + r) + column + c, 1);
}

// Sums of `rows` rows and `columns` columns go to their place in out.
void finish(const Matmul& op, const float* sums, int64_t sums_stride, int64_t row, int64_t rows, int64_t column,
            int64_t columns) {
  columns = columns < op.out.cols - column ? columns : op.out.cols - column;
  for (int64_t r = 0; r < rows; ++r) {
    float* out = op.out.row<float>(row + r) + column;
    const float* sum = sums + r * sums_stride;
    const float* bias = op.bias ? op.bias + column : nullptr;
    for (int64_t c = 0; c < columns; ++c) {
      float value = sum[c];
      if (bias) value += bias[c];
      if (op.accumulate) value += out[c];
      out[c] = value;
    }
  }
}

// One tile's columns for a group of row blocks. The panel is cut along K so that the group finds each part in cache.
void run_columns(const Job& job, int64_t first_block, int64_t end_block, int64_t column, int vectors) {
  constexpr int64_t kSums = kMaxRows * kNarrow * kLanes;
  alignas(64) float sums[kMaxGroup * kSums];
  const int64_t panel_bytes = job.steps * kStepBytes, width = vectors * kLanes;
  const bool odd = job.whole_steps != job.steps, lone = job.row_blocks == 1;
  const char* panel =
      job.op.weight.storage.as<char>() + column / kPanelColumns * panel_bytes + column % kPanelColumns * 4;
  for (int64_t step = 0; step < job.steps; step += kBlockSteps) {
    int64_t steps = step + kBlockSteps < job.whole_steps ? kBlockSteps : job.whole_steps - step;
    bool last = step + kBlockSteps >= job.steps;
    for (int64_t block = first_block; block < end_block; ++block) {
      int64_t row = job.block_row(block), rows = job.block_row(block + 1) - row;
      // A lone block asks for what it needs next. Of several, the first two ask for one half each of what comes after
      // this part of the panel, and the others find all in cache.
      int64_t place = block - first_block;
      int64_t ahead = lone ? kPrefetchBytes : place < 2 ? steps * kStepBytes + place * 64 : 0;
      Tile tile{.x = job.x + row * job.x_stride + step * job.units_per_step,
                .x_stride = job.x_stride,
                .weights = panel + step * kStepBytes,
                .panel_bytes = panel_bytes,
                .steps = steps,
                .half_step = last && odd,
                .resume = step != 0,
                .sums = sums + place * kSums,
                .prefetch = ahead,
                .prefetch_both = lone};
      if (last) fetch_outputs(job.op.out, row, rows, column, width);
      (vectors == kNarrow ? job.tiles.narrow : job.tiles.wide)[rows](tile);
      if (last) finish(job.op, sums + place * kSums, width, row, rows, column, width);
    }
  }
}

int64_t group_size(int64_t row_bytes) {
  int64_t blocks = kGroupBytes / (kMaxRows * row_bytes);
  return blocks < 4 ? 4 : blocks < kMaxGroup ? blocks : kMaxGroup;
}

void run_panels(const Job& job, int64_t begin, int64_t end) {
  const int64_t first = begin * kPanelColumns, last = end * kPanelColumns;
  for (int64_t group = 0; group < job.row_blocks; group += job.group) {
    int64_t group_end = group + job.group < job.row_blocks ? group + job.group : job.row_blocks;
    int wide = job.row_blocks == 1 ? vectors_for(static_cast<int>(job.op.x.rows)) : kNarrow;
    int64_t column = first;
    for (; column + wide * kLanes <= last; column += wide * kLanes) run_columns(job, group, group_end, column, wide);
    for (; column < last; column += kNarrow * kLanes) run_columns(job, group, group_end, column, kNarrow);
  }
}

#if defined(__AVX512BF16__)
constexpr Kind kRoundedKind = Kind::dot;

void round_row(const float* x, int64_t count, uint32_t* units) {
  __mmask16 mask = 0xFFFF;
  for (int64_t k = 0; k < count; k += 16) {
    if (count - k < 16) mask = static_cast<__mmask16>((1u << (count - k)) - 1);
    __m256bh rounded = _mm512_cvtneps_pbh(_mm512_maskz_loadu_ps(mask, x + k));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(units + k / 2), (__m256i)rounded);
  }
}
#else
constexpr Kind kRoundedKind = Kind::widen;

// Without the instruction: inputs with the precision of bf16, held as f32.
void round_row(const float* x, int64_t count, uint32_t* units) {
  for (int64_t k = 0; k < count; ++k) {
    uint32_t bits;
    std::memcpy(&bits, x + k, 4);
    uint32_t rounded = bits + 0x7FFF + (bits >> 16 & 1), nan = bits | 0x400000;
    units[k] = ((bits & 0x7FFFFFFF) > 0x7F800000 ? nan : rounded) & 0xFFFF0000;
  }
}
#endif

// The rows of x rounded to bf16, as units of kRoundedKind, once for all workers.
void round_inputs(ThreadPool& pool, const Tensor& x, Job& job) {
  constexpr int64_t kInline = 1 << 15;  // elements that take less time to round than to share out
  int64_t units = kRoundedKind == Kind::dot ? job.steps : x.cols;
  job.x_stride = (units + 15) / 16 * 16 | 16;  // an odd number of cache lines: rows spread over all cache sets
  uint32_t* rounded = static_cast<uint32_t*>(pool.scratch(x.rows * job.x_stride * 4));
  pool.parallel_for(x.rows, kInline / x.cols + 1, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) round_row(x.row<float>(row), x.cols, rounded + row * job.x_stride);
  });
  job.x = rounded;
}

}  // namespace

void matmul(ThreadPool& pool, const Matmul& op, Precision precision) {
  if (op.x.rows == 0 || op.out.cols == 0) return;
  const Weight& weight = op.weight;
  bool rounded = weight.dtype == DType::bf16 && precision == Precision::bf16;
  Kind kind = weight.dtype == DType::f32 ? Kind::f32 : rounded ? kRoundedKind : Kind::widen;
  int64_t steps = packed_steps(weight.in_features, weight.dtype);
  int64_t units_per_step = kind == Kind::widen ? 2 : 1;
  Job job{.op = op,
          .tiles = kind == Kind::f32     ? kTiles<Kind::f32>
                   : kind == Kind::widen ? kTiles<Kind::widen>
                                         : kTiles<kRoundedKind>,
          .x = op.x.row<uint32_t>(0),
          .x_stride = op.x.stride,
          .units_per_step = units_per_step,
          .steps = steps,
          .whole_steps = kind == Kind::widen ? weight.in_features / 2 : steps,
          .row_blocks = (op.x.rows + kMaxRows - 1) / kMaxRows,
          .group = group_size(steps * units_per_step * 4)};
  if (rounded) round_inputs(pool, op.x, job);
  pool.parallel_for(packed_panels(weight.out_features), 1,
                    [&](int64_t begin, int64_t end) { run_panels(job, begin, end); });
}

}  // namespace penstock::cpu::PENSTOCK_ISA
