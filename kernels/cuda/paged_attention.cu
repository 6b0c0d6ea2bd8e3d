// Plan the work (once for all layers that see the same), prefill, decode. Steps of a few tokens have a decode kernel
// that plans for itself.
#include "kernels/cuda/paged_attention.h"

#include <bit>
#include <climits>

#include "kernels/cuda/attention_decode.cuh"
#include "kernels/cuda/attention_plan.cuh"
#include "kernels/cuda/attention_prefill.cuh"
#include "kernels/cuda/launch.cuh"

namespace penstock::cuda {
namespace {

constexpr int kBlocksPerSm = 2;                            // of the prefill and the decode kernel
constexpr int kDecodeItemsPerBlock = 4;                    // so that the last ones to finish waste little
constexpr int kMinDecodeTiles = 4, kMinPrefillTiles = 16;  // of 64 keys an item: less would not pay for its start
constexpr int kMinShortPrefillTiles = 4;                   // of drafts that are verified, or a prompt's end

int64_t divide_up(int64_t a, int64_t b) { return (a + b - 1) / b; }

int resident_blocks() { return multiprocessors() * kBlocksPerSm; }

[[noreturn]] void refuse(const char* why) { throw Error(ExitCode::internal, std::string("paged_attention: ") + why); }

// Calls body.operator()<padded head_dim>().
template <class Body>
auto with_head_dim(int64_t head_dim, Body body) {
  if (head_dim % 8 != 0 || head_dim <= 0 || head_dim > 256) refuse("head_dim is no multiple of 8 up to 256");
  if (head_dim <= 64) return body.template operator()<64>();
  if (head_dim <= 96) return body.template operator()<96>();
  if (head_dim <= 128) return body.template operator()<128>();
  return body.template operator()<256>();
}

// Hands out pieces of the workspace; without one it only counts.
class Pieces {
 public:
  explicit Pieces(void* memory) : memory_(static_cast<char*>(memory)) {}
  template <class T>
  T* take(int64_t count) {
    char* piece = memory_ ? memory_ + used_ : nullptr;
    used_ += divide_up(count * static_cast<int64_t>(sizeof(T)), 128) * 128;
    return reinterpret_cast<T*>(piece);
  }
  int64_t used() const { return used_; }

 private:
  char* memory_;
  int64_t used_ = 0;
};

struct Dimensions {
  int64_t tokens, rows, group, kv_heads;
};

// Units with several items have together at most twice target_items / kv_heads of them: each item but a unit's last is
// a full chunk, and the chunks are chosen that large.
template <int kDim>
void lay_out(Pieces& pieces, const Dimensions& size, int blocks, WorkList (&work)[kWorkKinds]) {
  for (int kind = 0; kind < kWorkKinds; kind++) {
    const bool decode = kind == kDecodeWork;
    const int64_t tile = decode ? DecodeShape<kDim>::kQueries : PrefillShape<kDim>::kQueries;
    const int64_t target = blocks * (decode ? kDecodeItemsPerBlock : 1);
    const int64_t slots = 2 * divide_up(target, size.kv_heads);
    const int64_t most_tokens = decode ? std::min(size.tokens, size.rows * kDecodeTokens) : size.tokens;
    const int64_t units = most_tokens * size.group / tile + size.rows;
    WorkList& list = work[kind];
    list.counts = pieces.take<WorkCounts>(1);
    list.items = pieces.take<WorkItem>(units + slots);
    list.units = pieces.take<WorkUnit>(slots / 2);
    list.arrived = pieces.take<int32_t>(slots / 2 * size.kv_heads);
    list.max_units = static_cast<int32_t>(slots / 2);
    list.sums = pieces.take<float>(slots * size.kv_heads * tile * kDim);
    list.statistics = pieces.take<float2>(slots * size.kv_heads * tile);
    list.tile_queries = static_cast<int32_t>(tile);
    list.min_key_tiles = decode ? kMinDecodeTiles : kMinPrefillTiles;
    list.min_short_key_tiles = decode ? kMinDecodeTiles : kMinShortPrefillTiles;
    list.target_items = static_cast<int32_t>(target);
  }
}

AttentionStep step_of(const PagedAttention& op) {
  const KvCache& cache = op.cache;
  const bool capped = op.soft_cap > 0;
  return {.q = static_cast<const __nv_bfloat16*>(op.qkv.data),
          .k = static_cast<const __nv_bfloat16*>(cache.k),
          .v = static_cast<const __nv_bfloat16*>(cache.v),
          .out = static_cast<__nv_bfloat16*>(op.out.data),
          .q_stride = op.qkv.stride,
          .out_stride = op.out.stride,
          .tokens = static_cast<int32_t>(op.step.tokens),
          .rows = static_cast<int32_t>(op.step.rows),
          .kv_heads = static_cast<int32_t>(cache.kv_heads),
          .group = static_cast<int32_t>(op.heads / cache.kv_heads),
          .head_dim = static_cast<int32_t>(cache.head_dim),
          .block_shift = std::countr_zero(static_cast<uint64_t>(cache.block_size)),
          .window = static_cast<uint32_t>(op.window > 0 ? std::min<int64_t>(op.window, INT32_MAX) : INT32_MAX),
          .score_factor = kLog2E * (capped ? 1 : op.scale),
          .cap_in = capped ? op.scale / op.soft_cap : 0,
          .cap_out = capped ? op.soft_cap : 0,
          .launches = 0,
          .positions = op.step.positions,
          .row_begin = op.step.row_begin,
          .row_context = op.step.row_context,
          .row_table = op.step.row_table,
          .block_tables = op.step.block_tables,
          .work = {}};
}

template <int kDim>
void run(AttentionStep& step, const Dimensions& size, const AttentionWorkspace& workspace, cudaStream_t stream) {
  const bool small = size.tokens <= kSmallTokens;
  const int blocks = small ? multiprocessors() : resident_blocks();
  Pieces pieces(workspace.memory);
  lay_out<kDim>(pieces, size, blocks, step.work);
  if (pieces.used() > workspace.bytes) refuse("the workspace is too small");
  step.launches = workspace.launches;
  if (workspace.launches == 0) launch(plan_kernel, dim3(1), dim3(kPlanThreads), 0, stream, step);
  using Prefill = PrefillShape<kDim>;
  using Decode = DecodeShape<kDim>;
  if (!small) launch(prefill_kernel<kDim>, dim3(blocks), dim3(Prefill::kThreads), Prefill::kSharedBytes, stream, step);
  launch(small ? small_decode_kernel<kDim> : decode_kernel<kDim>, dim3(blocks), dim3(Decode::kThreads),
         Decode::kSharedBytes, stream, step);
}

}  // namespace

int64_t paged_attention_workspace_bytes(int64_t tokens, int64_t rows, int64_t heads, int64_t kv_heads,
                                        int64_t head_dim) {
  const Dimensions size{tokens, rows, heads / kv_heads, kv_heads};
  return with_head_dim(head_dim, [&]<int kDim>() {
    Pieces pieces(nullptr);
    WorkList work[kWorkKinds];
    lay_out<kDim>(pieces, size, resident_blocks(), work);
    return pieces.used();
  });
}

void paged_attention(const PagedAttention& op, const AttentionWorkspace& workspace, cudaStream_t stream) {
  const KvCache& cache = op.cache;
  if (op.heads % cache.kv_heads != 0) refuse("heads is no multiple of kv_heads");
  if (cache.block_size < 16 || !std::has_single_bit(static_cast<uint64_t>(cache.block_size)))
    refuse("block_size is no power of two from 16 on");
  if (cache.dtype != DType::bf16 || op.qkv.dtype != DType::bf16 || op.out.dtype != DType::bf16) refuse("not bf16");
  if (op.step.tokens == 0) return;
  AttentionStep step = step_of(op);
  const Dimensions size{op.step.tokens, op.step.rows, step.group, cache.kv_heads};
  with_head_dim(cache.head_dim, [&]<int kDim>() { run<kDim>(step, size, workspace, stream); });
}

}  // namespace penstock::cuda
