// One step as the device sees it: fixed buffers, padded to a bucket. Plain structs; every pointer is device memory.
#pragma once
#include <cstdint>

#include "kernels/tensor.h"

namespace penstock {

// Rows are sequences: row r's new tokens are [row_begin[r], row_begin[r + 1]). A row without tokens is padding, and so
// is a token whose position is -1: its outputs are never read, and it writes nothing. What the pointers lead to is
// uploaded and written by no verb: a kernel may read it before those ahead of it have ended.
struct StepView {
  int64_t tokens = 0;                      // the bucket: real tokens first, then padding
  int64_t rows = 0;                        // capacity: real rows first, then empty ones
  const int32_t* input_ids = nullptr;      // [tokens] >= 0: the id; < 0: ~slot, whose last sampled token is the id, or
                                           // ~(slots + kMaxDrafts slot + i), whose draft i it is
  const int32_t* positions = nullptr;      // [tokens] in the sequence, from 0; -1 for padding
  const int32_t* token_rows = nullptr;     // [tokens] the row it belongs to; 0 for padding
  const int32_t* row_begin = nullptr;      // [rows + 1] ascending
  const int32_t* row_context = nullptr;    // [rows] tokens of the sequence once this step is done, the new ones included
  const int32_t* row_rope = nullptr;       // [rows] entry of the RoPE table that is its position 0; null: all 0
  const int32_t* row_table = nullptr;      // [rows] where the row's block table begins in block_tables
  const int32_t* block_tables = nullptr;   // block p / block_size of the row holds position p
};

// One layer's paged KV. k and v: [blocks, kv_heads, block_size, head_dim].
struct KvCache {
  void* k = nullptr;
  void* v = nullptr;
  DType dtype = DType::f32;  // f32 or bf16
  int64_t blocks = 0;
  int64_t kv_heads = 0;
  int64_t block_size = 0;
  int64_t head_dim = 0;
};

// Drafts: ids that may follow a slot's last token, kept on the device right behind the last tokens of all slots. A row
// that verifies them has one token more.
constexpr int32_t kMaxDrafts = 15;

// What becomes of a drawn token.
enum class DrawKind : int16_t {
  next,    // it is the slot's last token, and counts as drawn; HeadRow::drafted is 0
  verify,  // accept_drafts decides; until then only the result has it
  draft,   // it is the slot's draft HeadRow::drafted, below kMaxDrafts; in a call of sample a slot has one such row, or
           // some that verify
};

// What is wanted of one row of logits. Uploaded as is, so plain and padded to 8 bytes.
//
// Order of arithmetic, for a row with edits: repetition penalty (x > 0 ? x / r : x r, for ids in the prompt or drawn
// before), - frequency x times drawn, - presence if drawn, + LogitEdit::bias; then temperature, top_k, top_p, min_p.
// Greedy rows take the argmax of the edited logits.
struct HeadRow {
  int32_t slot = -1;        // sample: whose token it is; -1 for padding
  int32_t target = -1;      // >= 0: score this id instead of sampling
  float temperature = 0;    // 0: greedy
  float top_p = 1;          // keep the smallest set of ids whose probability reaches it
  float min_p = 0;          // keep ids with probability >= min_p x the largest
  int32_t top_k = 0;        // keep the k likeliest; 0: all
  int32_t position = 0;     // the drawn token's index in its sequence: part of the random key
  int32_t choice = 0;       // likewise
  uint64_t seed = 0;        // likewise
  float repetition_penalty = 1;
  float frequency_penalty = 0;
  float presence_penalty = 0;
  int32_t top_logprobs = 0;  // [0, kMaxTopLogprobs] alternatives wanted, of sample and score alike
  int16_t edits = 0;         // 1: draw by the slot's SlotState; 0: it is not looked at. Of rows with edits that are
                             // DrawKind::next, which count there, at most one of a slot in a call of sample.
  DrawKind draw = DrawKind::next;
  int32_t drafted = 0;       // [0, kMaxDrafts]: so many of the slot's drafts come before this draw. To a row with edits
                             // they count as drawn, ids beyond the logits excepted.
};
static_assert(sizeof(HeadRow) == 64);

struct HeadResult {
  static constexpr int32_t kArgmax = 1;     // score: the target has the largest logit (ties: the lowest id is largest)
  static constexpr int32_t kNonFinite = 2;  // a logit is NaN or infinite upward, or all are -inf: token is -1
  static constexpr int32_t kAllBanned = 4;  // the edits leave no id above -inf: token is -1
  static constexpr int32_t kRejected = 8;   // it follows a draft that was not drawn: nothing here counts, no other flag
  int32_t token = -1;
  float logprob = 0;        // of token or target, under the raw logits (no edit, no temperature, no filter)
  int32_t flags = 0;
};
static_assert(sizeof(HeadResult) == 12);

// A row of a step that fed drafts, for accept_drafts. Uploaded as is.
struct VerifyRow {
  int32_t slot = -1;   // at most once in a call; -1 for padding
  int32_t first = 0;   // results[first … first + drafts] are its draws: after its last token, after each draft
  int32_t drafts = 0;  // [1, kMaxDrafts]
  int32_t edits = 0;   // 1: what is accepted counts as drawn in SlotState
};
static_assert(sizeof(VerifyRow) == 16);

// One of the likeliest ids of a row under the raw logits, in descending order (ties: the lower id first). Ids at -inf are
// left out; entries beyond the last are {-1, 0}. Rows that want none are not written.
struct TopLogprob {
  int32_t id = -1;
  float logprob = 0;
};
constexpr int32_t kMaxTopLogprobs = 20;

// Adds `bias` to one id's logit (-inf bans it) while HeadRow::position < until: min_tokens bans stop ids that way. An id
// may stand twice in a row, with a bias and with a ban: both are added, in their order.
struct LogitEdit {
  int32_t id = 0;
  float bias = 0;
  int32_t until = INT32_MAX;
};
constexpr int32_t kMaxLogitEdits = 1024;

// What penalties and edits need, by slot: the device's truth, so that steps can be in flight.
struct SlotState {
  static constexpr uint16_t kInPrompt = 0x8000, kMostDrawn = kInPrompt - 1;
  uint16_t* counts = nullptr;     // [slots, vocab] times drawn (saturating at kMostDrawn), and kInPrompt
  LogitEdit* edits = nullptr;     // [slots, kMaxLogitEdits]
  int32_t* num_edits = nullptr;   // [slots]
  int64_t slots = 0, vocab = 0;
};

}  // namespace penstock
