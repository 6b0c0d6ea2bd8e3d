// Attention over the paged cache, on tensor cores: bf16 in and out, f32 scores, softmax and sums.
#pragma once
#include <cuda_runtime_api.h>

#include "kernels/backend.h"

namespace penstock::cuda {

// Device memory that paged_attention needs on the current device for steps of up to `tokens` and `rows`.
int64_t paged_attention_workspace_bytes(int64_t tokens, int64_t rows, int64_t heads, int64_t kv_heads,
                                        int64_t head_dim);

// What a plan of the work hangs on, besides the contents of the step's buffers.
struct AttentionPlanKey {
  const void *memory, *positions, *row_begin, *row_context, *row_table;
  int64_t tokens, rows, heads, kv_heads, head_dim, window;
  bool operator==(const AttentionPlanKey&) const = default;

  AttentionPlanKey(const PagedAttention& op, const void* workspace)
      : memory(workspace),
        positions(op.step.positions),
        row_begin(op.step.row_begin),
        row_context(op.step.row_context),
        row_table(op.step.row_table),
        tokens(op.step.tokens),
        rows(op.step.rows),
        heads(op.heads),
        kv_heads(op.cache.kv_heads),
        head_dim(op.cache.head_dim),
        window(op.window) {}
};

struct AttentionWorkspace {
  void* memory;  // 128-byte aligned; not shared with calls that may run at the same time
  int64_t bytes;
  // How many calls in a row, up to now, had this memory and the same step, window and shapes: what the first of them
  // found out about the rows is used again.
  int32_t launches = 0;
};

// Enqueued on `stream`; may be captured. What is launched depends on the step's tokens and rows and on the shapes
// alone: lengths, positions and tables are read on the device. head_dim: a multiple of 8 up to 256; block_size: a power
// of two, 16 or more; scale > 0. Errors: Error(internal).
void paged_attention(const PagedAttention& op, const AttentionWorkspace& workspace, cudaStream_t stream);

}  // namespace penstock::cuda
