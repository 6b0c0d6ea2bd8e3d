// Where a position's key and value lie in the paged cache.
#pragma once
#include "kernels/step_view.h"

namespace penstock::cpu::PENSTOCK_ISA {

// One row's view of one head's keys (or values).
template <class T>
struct PagedRows {
  T* base;               // the head's rows in block 0
  int64_t block_stride;  // elements from a block to the next
  int64_t block_size;
  int64_t head_dim;
  const int32_t* table;

  PagedRows(const KvCache& cache, void* data, const StepView& step, int64_t row, int64_t kv_head)
      : base(static_cast<T*>(data) + kv_head * cache.block_size * cache.head_dim),
        block_stride(cache.kv_heads * cache.block_size * cache.head_dim),
        block_size(cache.block_size),
        head_dim(cache.head_dim),
        table(step.block_tables + step.row_table[row]) {}

  T* at(int64_t position) const {
    return base + table[position / block_size] * block_stride + position % block_size * head_dim;
  }

  // out[i] = at(begin + i), with one division a block instead of one a position.
  void list(T** out, int64_t begin, int64_t end) const {
    while (begin < end) {
      int64_t stop = (begin / block_size + 1) * block_size;
      if (stop > end) stop = end;
      for (T* p = at(begin); begin < stop; begin++, p += head_dim) *out++ = p;
    }
  }
};

}  // namespace penstock::cpu::PENSTOCK_ISA
