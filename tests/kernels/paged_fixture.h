// Sequences in a paged cache, for the tests of the ops that read or write one. Blocks lie in shuffled order, and what
// no sequence owns is NaN.
#pragma once
#include <algorithm>
#include <numeric>

#include "tests/kernels/op_fixture.h"

namespace penstock {

struct PagedShape {
  int64_t heads = 3, kv_heads = 1, head_dim = 64, block_size = 16;
  DType dtype = DType::f32;
  int64_t qkv_width() const { return (heads + 2 * kv_heads) * head_dim; }
};

// One sequence's part in a step: tokens [context - added, context) are new.
struct PagedSequence {
  int64_t context, added;
};

constexpr int32_t kNoBlock = 1 << 28;  // stands behind every table: nobody may look there

// The step's arrays on the host; `padding` tokens and one empty row follow the real ones.
struct PagedStep {
  std::vector<int32_t> positions, token_rows, row_begin = {0}, row_context, row_table, block_tables;
  int64_t blocks = 0;

  PagedStep(const std::vector<PagedSequence>& sequences, int64_t block_size, int64_t padding, uint32_t seed = 1) {
    for (const PagedSequence& sequence : sequences) {
      for (int64_t i = 0; i < sequence.added; ++i) {
        positions.push_back(static_cast<int32_t>(sequence.context - sequence.added + i));
        token_rows.push_back(static_cast<int32_t>(row_context.size()));
      }
      row_begin.push_back(static_cast<int32_t>(positions.size()));
      row_context.push_back(static_cast<int32_t>(sequence.context));
      row_table.push_back(static_cast<int32_t>(block_tables.size()));
      for (int64_t p = 0; p < sequence.context; p += block_size) block_tables.push_back(static_cast<int32_t>(blocks++));
      block_tables.push_back(kNoBlock);
    }
    blocks += 2;  // never owned
    std::vector<int32_t> shuffled(blocks);
    std::iota(shuffled.begin(), shuffled.end(), 0);
    std::shuffle(shuffled.begin(), shuffled.end(), std::mt19937(seed));
    for (int32_t& block : block_tables)
      if (block != kNoBlock) block = shuffled[block];
    pad(tokens() + padding, rows() + 1, static_cast<int64_t>(block_tables.size()));
  }
  // Up to the sizes of a bucket.
  void pad(int64_t tokens, int64_t rows, int64_t table_entries) {
    positions.resize(tokens, -1), token_rows.resize(tokens, 0);
    row_begin.resize(rows + 1, row_begin.back()), row_context.resize(rows, 0), row_table.resize(rows, 0);
    block_tables.resize(table_entries, kNoBlock);
  }
  // The first `count` blocks of `row` are those of the row before it.
  void share(int64_t row, int64_t count) {
    for (int64_t i = 0; i < count; ++i) block_tables[row_table[row] + i] = block_tables[row_table[row - 1] + i];
  }
  int64_t tokens() const { return static_cast<int64_t>(positions.size()); }
  int64_t rows() const { return static_cast<int64_t>(row_context.size()); }

  // Index of an element in a cache [blocks, kv_heads, block_size, head_dim].
  int64_t at(const PagedShape& shape, int64_t row, int64_t position, int64_t kv_head) const {
    int64_t block = block_tables[row_table[row] + position / shape.block_size];
    return ((block * shape.kv_heads + kv_head) * shape.block_size + position % shape.block_size) * shape.head_dim;
  }
};

class DeviceStep {
 public:
  DeviceStep(Backend& backend, const PagedStep& step)
      : positions_(backend, step.positions),
        token_rows_(backend, step.token_rows),
        row_begin_(backend, step.row_begin),
        row_context_(backend, step.row_context),
        row_table_(backend, step.row_table),
        block_tables_(backend, step.block_tables),
        tokens_(step.tokens()),
        rows_(step.rows()) {}
  // Of the same sizes.
  void upload(const PagedStep& step) {
    positions_.upload(step.positions), token_rows_.upload(step.token_rows), row_begin_.upload(step.row_begin);
    row_context_.upload(step.row_context), row_table_.upload(step.row_table), block_tables_.upload(step.block_tables);
  }
  StepView view() const {
    return {.tokens = tokens_,
            .rows = rows_,
            .positions = positions_.data(),
            .token_rows = token_rows_.data(),
            .row_begin = row_begin_.data(),
            .row_context = row_context_.data(),
            .row_table = row_table_.data(),
            .block_tables = block_tables_.data()};
  }

 private:
  DeviceArray<int32_t> positions_, token_rows_, row_begin_, row_context_, row_table_, block_tables_;
  int64_t tokens_, rows_;
};

// A cache on the device; its values as f32 on the host. Starts as NaN.
class DeviceCache {
 public:
  DeviceCache(Backend& backend, const PagedShape& shape, int64_t blocks)
      : shape_(shape),
        blocks_(blocks),
        count_(blocks * shape.kv_heads * shape.block_size * shape.head_dim),
        k_(backend, shape.dtype, std::vector<float>(count_, kNan)),
        v_(backend, shape.dtype, std::vector<float>(count_, kNan)) {}

  KvCache view() const {
    return {.k = k_.data(),
            .v = v_.data(),
            .dtype = shape_.dtype,
            .blocks = blocks_,
            .kv_heads = shape_.kv_heads,
            .block_size = shape_.block_size,
            .head_dim = shape_.head_dim};
  }
  std::vector<float> keys() const { return k_.download(); }
  std::vector<float> values() const { return v_.download(); }
  void upload(const std::vector<float>& k, const std::vector<float>& v) { k_.upload(k), v_.upload(v); }
  int64_t count() const { return count_; }

 private:
  PagedShape shape_;
  int64_t blocks_, count_;
  DeviceNumbers k_, v_;
};

}  // namespace penstock
