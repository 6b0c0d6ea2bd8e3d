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
    }
    blocks += 2;  // never owned
    std::vector<int32_t> shuffled(blocks);
    std::iota(shuffled.begin(), shuffled.end(), 0);
    std::shuffle(shuffled.begin(), shuffled.end(), std::mt19937(seed));
    for (int32_t& block : block_tables) block = shuffled[block];
    row_begin.push_back(row_begin.back()), row_context.push_back(0), row_table.push_back(0);
    positions.insert(positions.end(), padding, -1), token_rows.insert(token_rows.end(), padding, 0);
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
      : backend_(backend),
        shape_(shape),
        blocks_(blocks),
        count_(blocks * shape.kv_heads * shape.block_size * shape.head_dim),
        k_(backend, count_ * dtype_bytes(shape.dtype)),
        v_(backend, count_ * dtype_bytes(shape.dtype)) {}

  KvCache view() const {
    return {.k = k_.data(),
            .v = v_.data(),
            .dtype = shape_.dtype,
            .blocks = blocks_,
            .kv_heads = shape_.kv_heads,
            .block_size = shape_.block_size,
            .head_dim = shape_.head_dim};
  }
  std::vector<float> keys() const { return widened(k_.download()); }
  std::vector<float> values() const { return widened(v_.download()); }
  void upload(const std::vector<float>& k, const std::vector<float>& v) { write(k_, k), write(v_, v); }
  int64_t count() const { return count_; }

 private:
  std::vector<float> widened(const std::vector<uint8_t>& bytes) const {
    std::vector<float> values(count_);
    if (shape_.dtype == DType::f32) std::memcpy(values.data(), bytes.data(), bytes.size());
    for (int64_t i = 0; shape_.dtype == DType::bf16 && i < count_; ++i) {
      uint16_t bits;
      std::memcpy(&bits, &bytes[2 * i], 2);
      values[i] = bf16_to_f32(bits);
    }
    return values;
  }
  void write(DeviceArray<uint8_t>& array, const std::vector<float>& values) {
    if (shape_.dtype == DType::f32) return backend_.upload(array.data(), values.data(), count_ * 4);
    std::vector<uint16_t> bits(count_);
    std::transform(values.begin(), values.end(), bits.begin(), f32_to_bf16);
    backend_.upload(array.data(), bits.data(), count_ * 2);
  }

  Backend& backend_;
  PagedShape shape_;
  int64_t blocks_, count_;
  DeviceArray<uint8_t> k_, v_;
};

}  // namespace penstock
