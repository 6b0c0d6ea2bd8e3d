// What there is to do in a step of attention, as the device finds it out: a list of items for either kernel.
//
// The new tokens of a row times the query heads that share a head of keys are its queries: query q is token q / group,
// head q % group of the group. A unit is a tile of consecutive queries of a row; an item is a unit and a range of its
// keys, and stands for all kv_heads. A unit of one item writes its output; the items of others leave partial results in
// slots, and whoever is the last to do so adds them up in the order of the keys.
#pragma once
#include <cuda_bf16.h>

#include <cstdint>

namespace penstock::cuda {

constexpr int kDecodeTokens = 8;  // rows with so many new tokens go to the decode kernel, longer ones to prefill
constexpr int kKeyTile = 64;      // key ranges of items begin at its multiples

enum WorkKind { kDecodeWork, kPrefillWork, kWorkKinds };

struct WorkItem {
  int32_t first_token;           // of the row
  int32_t first_query, queries;  // queries [first_query, queries) of the row, at most a tile of them
  int32_t key_begin, key_end;    // positions; key_begin a multiple of kKeyTile
  int32_t table;                 // where the row's block table begins
  int32_t slot;                  // for the partial result; -1: the whole result goes to the output
  int32_t unit;                  // that the slot belongs to
};
static_assert(sizeof(WorkItem) == 32);

struct WorkUnit {  // to be combined
  int32_t first_token, first_query, queries, slot, slots;
};

struct WorkCounts {
  int32_t items, taken;  // taken: items x kv_heads that were asked for, by all launches with this plan
};

// One kernel's lists and partial results. Slots hold for each head of keys a tile of rows.
struct WorkList {
  WorkCounts* counts;
  WorkItem* items;
  WorkUnit* units;
  int32_t* arrived;    // [units, kv_heads] of a unit's items; 0 between launches
  float* sums;         // [slots, kv_heads, tile_queries, padded head_dim], weighted by exp2(score - largest)
  float2* statistics;  // [slots, kv_heads, tile_queries]: largest score in powers of two, sum of the weights
  int32_t tile_queries, max_units;
  int32_t min_key_tiles;        // of an item, unless its unit has fewer
  int32_t min_short_key_tiles;  // likewise, of units with up to half a tile of queries
  int32_t target_items;         // times kv_heads: so many keep the device busy
};

// Everything that the kernels read; device pointers, dimensions as in backend.h.
struct AttentionStep {
  const __nv_bfloat16 *q, *k, *v;
  __nv_bfloat16* out;
  int64_t q_stride, out_stride;
  int32_t tokens, rows, kv_heads, group, head_dim, block_shift;  // block_size = 1 << block_shift
  uint32_t window;                                               // INT32_MAX: all
  float score_factor;     // scores to powers of two: of what q·k gives, or with a cap of what soft_cap gives
  float cap_in, cap_out;  // score = cap_out tanh(cap_in q·k); cap_out 0: no cap
  int32_t launches;       // with this plan, before this one
  const int32_t *positions, *row_begin, *row_context, *row_table, *block_tables;
  WorkList work[kWorkKinds];
};

}  // namespace penstock::cuda
