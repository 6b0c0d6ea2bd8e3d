// The ops. CPU (kernels/cpu) and CUDA (kernels/cuda) fulfil this one contract, and the decoder above is written once.
//
// Every verb is enqueued on the backend's stream and sees the effects of the verbs before it. On the CPU a verb has run
// when it returns. Verbs check dimensions (Error(internal) names the one that disagrees) but not the contents of device
// arrays. One thread calls a backend; several backends may live in one process, one a rank.
//
// Sizes. The CPU takes any. A backend whose activations are bf16 (CUDA) reads 16 bytes at a time: hidden, mlp, head_dim
// and a product's in_features are multiples of 8, head_dim is at most 256, rows of activations begin at multiples of 8
// elements (out_features and vocab may be any); block_size is a power of two, 16 or more; the cache is of kv_dtype().
//
// Shape words: tokens, hidden, heads, kv_heads, head_dim, vocab as in design.md §9; heads and kv_heads are this rank's.
#pragma once
#include <functional>
#include <memory>
#include <span>

#include "kernels/candidates.h"
#include "kernels/device_buffer.h"
#include "kernels/host_matrix.h"
#include "kernels/roofline.h"
#include "kernels/step_view.h"
#include "kernels/tensor.h"

namespace penstock {

// A matrix [out_features, in_features] in the layout that the backend's matmul likes best. Owns its memory.
struct Weight {
  DeviceBuffer storage;
  DType dtype = DType::bf16;  // as stored: f32 or bf16
  int64_t out_features = 0;
  int64_t in_features = 0;
};

struct Embed {                 // out = scale · table[id]
  Tensor out;                  // [tokens, hidden]
  const Weight& table;         // [vocab of this rank, hidden]
  int64_t first_id;            // the id of the table's row 0; ids outside the table give a row of zeros
  const int32_t* last_tokens;  // [slots], and the drafts behind them
  StepView step;
  float scale = 1;             // rounded to the activation dtype first, as Gemma does
};

struct Matmul {                // out = x · weightᵀ + bias (+ out)
  Tensor out;                  // [tokens, out_features]
  Tensor x;                    // [tokens, in_features]
  const Weight& weight;
  const float* bias = nullptr; // [out_features]
  bool accumulate = false;     // add to what out holds
};

struct RmsNorm {
  Tensor out;                  // [tokens, hidden]; may be x itself
  Tensor x;                    // [tokens, hidden]
  const float* weight;         // [hidden]
  float eps;
};

struct AddRmsNorm {            // residual += x; out = rms_norm(residual)
  Tensor out;                  // [tokens, hidden]; may be x itself
  Tensor residual;             // [tokens, hidden], updated
  Tensor x;                    // [tokens, hidden]
  const float* weight;
  float eps;
};

struct QkNormRopeStore {       // q and k: norm, rotate; k and v: into their blocks
  Tensor qkv;                  // [tokens, (heads + 2 kv_heads) head_dim]; the q part is rewritten in place
  int64_t heads;
  const float* q_norm = nullptr;     // [head_dim], RMS norm of each head before RoPE; null: none
  const float* k_norm = nullptr;
  float norm_eps = 0;
  const float* rope = nullptr; // [positions, rotary_dim]: cos of the rotary_dim/2 angles, then their sin; null: no RoPE.
                               // A row's token at position p takes entry StepView::row_rope[row] + p. Rotates
                               // (i, i + rotary_dim/2), as Hugging Face does, and leaves the rest of the head alone.
  int64_t rotary_dim = 0;      // even, <= head_dim; 0: head_dim
  KvCache cache;
  StepView step;
};

struct PagedAttention {        // causal; every row's keys and values are in the cache, the new ones too
  Tensor out;                  // [tokens, heads head_dim]; padding tokens get zeros
  Tensor qkv;                  // as left by qk_norm_rope_store
  int64_t heads;
  float scale;                 // of q·k, usually head_dim^-1/2
  int64_t window = 0;          // a token sees itself and the window - 1 before it; 0: all
  float soft_cap = 0;          // cap tanh(s / cap); 0: none
  KvCache cache;
  StepView step;
};

enum class Activation : uint8_t { silu, gelu_tanh };  // gelu_tanh: the tanh approximation (Hendrycks and Gimpel 2016)

struct GatedMul {              // out = activation(gate) * up
  Tensor out;                  // [tokens, mlp]
  Tensor gate_up;              // [tokens, 2 mlp]: gate, then up
  Activation activation = Activation::silu;
};

struct GatedMatmul {           // out = activation(gate) * up, where [gate, up] = x · weightᵀ + bias
  Tensor out;                  // [tokens, mlp]
  Tensor gate_up;              // [tokens, 2 mlp], scratch: left undefined
  Tensor x;                    // [tokens, in_features]
  const Weight& weight;        // [2 mlp, in_features]
  const float* bias = nullptr; // [2 mlp]
  Activation activation = Activation::silu;
};

struct SoftCap {               // x = cap tanh(x / cap)
  Tensor x;                    // [rows, cols], f32
  float cap;
};

struct GatherRows {
  Tensor out;                  // [rows, hidden]
  Tensor x;                    // [tokens, hidden]
  const int32_t* indices;      // [rows]
};

struct Head {                  // for sample and score: rows of the other kind are left alone
  Tensor logits;               // [rows, vocab], f32; not changed. SlotState::vocab may be larger: those ids are not drawn
  const HeadRow* rows;         // [rows]
  HeadResult* results;         // [rows]
  int32_t* last_tokens;        // [slots], written by sample
  TopLogprob* top = nullptr;   // [rows, kMaxTopLogprobs]; may be null when no row wants any
  SlotState slots;             // what rows with HeadRow::edits are drawn by, and sample counts into
  int32_t* drafts = nullptr;   // [slots, kMaxDrafts], for rows that are no DrawKind::next; read for those with edits,
                               // written by sample for DrawKind::draft
};

// Which drafts of each row were drawn: those before the first that differs from its draw. The draw there, or after the
// last draft, is the slot's last token (0 where it gave none, as with sample); with edits the draws up to it count. The
// results behind it get HeadResult::kRejected.
struct AcceptDrafts {
  const VerifyRow* rows;       // [count]
  int64_t count;
  HeadResult* results;
  int32_t* last_tokens;        // [slots]
  const int32_t* drafts;       // [slots, kMaxDrafts]
  SlotState slots;             // of rows with VerifyRow::edits
};

// For measuring speculation without trained models: in place of what sample drew, a token that (seed, choice, position)
// alone decides. Rows that are DrawKind::draft get it with probability `agreement` and else another. Log-probabilities
// stay those of the draws. Rows to be scored, and those whose result has no token, are left alone.
struct DrawFromTable {
  Head head;                   // after sample; its rows have no edits
  int32_t vocab;               // the table's tokens are [0, vocab), of the model and of whoever drafts for it alike
  float agreement;             // [0, 1]
};

// One rank's part of rows of logits.
struct RankLogits {
  Tensor logits;               // [rows, vocab of this rank], f32
  int64_t first_id, ids;       // of its columns: first_id is the first column's; columns from `ids` on are padding
  Tensor edited;               // likewise: what edits make of the logits of rows that have some. Written by
                               // find_candidates, read by choose_candidates
};

// Of a `head` here the logits are not looked at. Rows that candidates cannot decide are left to sample and score: they
// are those of `others`, where padding stands for the rest.
struct FindCandidates {        // what a rank's ids say about rows of the head
  RankLogits part;
  Head head;                   // its results are not touched
  Candidate* candidates;       // [rows, kCandidateParts]; left alone where rows need to be looked at whole
};

struct ChooseCandidates {      // the tokens and scores of most rows; of those that filters may change, a tally
  RankLogits part;             // as find_candidates left it
  Head head;
  const Candidate* candidates; // [rows, ranks, kCandidateParts]
  int64_t ranks;
  Tally* tallies;              // [rows, kCandidateParts]; left alone where `open` has no row
  HeadRow* open;               // [rows], written: those that settle_candidates decides, padding in place of the rest
  HeadRow* others;             // [rows], written
};

struct SettleCandidates {      // the rows whose token turns out to be kept
  Head head;                   // its rows are ChooseCandidates::open
  const Tally* tallies;        // [rows, ranks, kCandidateParts]
  int64_t ranks;
  HeadRow* others;             // [rows]; those that are not kept, or not surely, are added
};

// Before a slot's first step: what its sequence has so far, and how its logits are edited.
struct PrepareSlot {
  SlotState slots;
  int32_t slot;
  std::span<const int32_t> prompt;     // host memory, as the others
  std::span<const int32_t> generated;  // known before this admission (after a preemption)
  std::span<const LogitEdit> edits;    // at most kMaxLogitEdits, ids ascending
};

struct BlockCopy { int32_t from, to; };

struct CopyBlocks {            // copy-on-write: whole blocks of one layer's K and V
  KvCache cache;
  std::span<const BlockCopy> copies;  // host memory; independent of each other: no target is another's source or target
};

// A point between verbs. On the CPU it has passed when it is made.
class Moment {
 public:
  virtual ~Moment() = default;
  virtual void wait() const = 0;                             // until it has passed; from any thread
  virtual double seconds_since(const Moment& earlier) const = 0;  // on the device's clock; both have passed
};

// The largest step that will come: what scratch memory is sized by.
struct StepShape {
  int64_t tokens = 0, rows = 0;               // as in StepView
  int64_t heads = 0, kv_heads = 0, head_dim = 0;
  int64_t head_rows = 0, vocab = 0;           // of logits at once
};

// A recorded sequence of verbs over fixed buffers.
class Graph {
 public:
  virtual ~Graph() = default;
  virtual void replay() = 0;
  virtual int64_t bytes() const = 0;  // of the device's memory
};

class Backend {
 public:
  virtual ~Backend() = default;

  // --- memory -------------------------------------------------------------------------------------------------------
  virtual DType activation_dtype() const = 0;   // of hidden states and logits' inputs
  virtual DType kv_dtype() const = 0;
  virtual int64_t memory_bytes() const = 0;     // what the device can still give now
  virtual DeviceBuffer allocate(int64_t bytes) = 0;  // 128-byte aligned, contents undefined. Error(no_device) when full
  virtual void upload(void* device, const void* host, int64_t bytes) = 0;    // `host` is free on return
  virtual void download(void* host, const void* device, int64_t bytes) = 0;  // complete on return
  // Memory of the host's that the copies below may read and write while later verbs are enqueued.
  virtual DeviceBuffer allocate_staging(int64_t bytes) = 0;
  virtual void upload_later(void* device, const void* staging, int64_t bytes) = 0;
  virtual void download_later(void* staging, const void* device, int64_t bytes) = 0;
  virtual std::unique_ptr<Moment> mark() = 0;
  virtual void fill_zero(void* device, int64_t bytes) = 0;
  virtual void synchronize() = 0;

  // Some tenths of a second on an idle device, in memory of its own. Errors: Error(no_device) when that cannot be had.
  virtual Roofline measure_roofline() = 0;

  // --- weights ------------------------------------------------------------------------------------------------------
  // `checkpoint`: the dtype in the file; the backend chooses what it stores. weight_bytes says what allocate_weight
  // would take. All of these and the two allocations above may be called from several threads, beside the thread of the
  // verbs, for different rows and elements.
  virtual int64_t weight_bytes(int64_t out_features, int64_t in_features, DType checkpoint) const = 0;
  virtual Weight allocate_weight(int64_t out_features, int64_t in_features, DType checkpoint) = 0;
  // The part must stay as it is until the moment that comes back has passed; before that no verb may read the weight.
  // From staging memory, in the dtype that is stored, the copy is direct.
  virtual std::unique_ptr<Moment> store_weight_later(Weight& weight, int64_t first_row, const HostMatrix& part) = 0;
  virtual std::unique_ptr<Moment> store_vector_later(float* vector, std::span<const float> part) = 0;
  void store_weight(Weight& weight, int64_t first_row, const HostMatrix& part) {
    store_weight_later(weight, first_row, part)->wait();
  }

  // --- scratch memory -----------------------------------------------------------------------------------------------
  // What the verbs need for steps up to `largest` beside their operands. A backend that was not told allocates it when
  // it is first needed.
  virtual int64_t workspace_bytes(const StepShape& largest) const = 0;
  virtual void reserve_workspace(const StepShape& largest) = 0;

  // --- graphs -------------------------------------------------------------------------------------------------------
  // `step` calls verbs on this backend. On CUDA they are captured, not run; on the CPU `step` itself is kept.
  virtual std::unique_ptr<Graph> record(std::function<void()> step) = 0;
  virtual int64_t graph_bytes(int64_t verbs) const = 0;  // what a recorded step of so many verbs takes, at most
  // Whether the verbs from now on may take a while to find the fastest way for their sizes (tens of milliseconds, once);
  // otherwise they take the way that is expected to be. At first off. Results may differ by rounding.
  virtual void set_autotune(bool) {}

  // --- ops ----------------------------------------------------------------------------------------------------------
  virtual void embed(const Embed&) = 0;
  virtual void matmul(const Matmul&) = 0;
  virtual void rms_norm(const RmsNorm&) = 0;
  virtual void add_rms_norm(const AddRmsNorm&) = 0;
  virtual void qk_norm_rope_store(const QkNormRopeStore&) = 0;
  virtual void paged_attention(const PagedAttention&) = 0;
  virtual void gated_mul(const GatedMul&) = 0;
  virtual void gated_matmul(const GatedMatmul& op) {  // a backend may do both in one
    matmul({op.gate_up, op.x, op.weight, op.bias});
    gated_mul({op.out, op.gate_up, op.activation});
  }
  virtual void soft_cap(const SoftCap&) = 0;
  virtual void gather_rows(const GatherRows&) = 0;
  // Random numbers by kernels/random.h: the draw depends on (seed, choice, position) and the logits alone.
  virtual void sample(const Head&) = 0;
  virtual void score(const Head&) = 0;
  virtual void accept_drafts(const AcceptDrafts&) = 0;
  virtual void draw_from_table(const DrawFromTable&) = 0;
  // In place of the two, of several ranks' parts of the vocabulary: in this order, the ranks' candidates and then their
  // tallies gathered in between.
  virtual void find_candidates(const FindCandidates&) = 0;
  virtual void choose_candidates(const ChooseCandidates&) = 0;
  virtual void settle_candidates(const SettleCandidates&) = 0;
  virtual void copy_blocks(const CopyBlocks&) = 0;
  virtual void prepare_slot(const PrepareSlot&) = 0;
};

enum class DeviceKind { cpu, cuda };
enum class KernelChoice { automatic, generic };  // generic: none that only some GPUs can run

struct BackendOptions {
  DeviceKind device = DeviceKind::cpu;
  int index = 0;                // which GPU
  DType dtype = DType::f32;     // f32: the reference (CPU only); bf16: the fast mode
  int threads = 1;              // CPU: workers of this backend, the caller included
  KernelChoice kernels = KernelChoice::automatic;
  bool poison_memory = false;   // tests: fresh memory holds NaN
};

// GPUs that this build can use on this machine.
int num_gpus();

// Begins, on threads of its own, what GPU `index`'s backend takes long to start for: the driver, the device's context,
// the library of matrix products. Returns at once and reports nothing: make_backend waits, and says what is wrong.
void warm_up_gpu(int index);

// Errors: Error(no_device) when there is no such device or this build has no support for it.
std::unique_ptr<Backend> make_backend(const BackendOptions& options);

}  // namespace penstock
