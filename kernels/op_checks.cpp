#include "kernels/op_checks.h"

#include <limits>

namespace penstock {
namespace {

using At = std::source_location;

void require(bool holds, const char* what, At at = At::current()) {
  if (!holds) throw Error(ExitCode::internal, std::string(at.function_name()) + ": " + what);
}

// A tensor of the expected type and shape whose rows do not overlap.
void expect_tensor(const char* name, const Tensor& x, DType dtype, Dim& rows, Dim& cols, At at = At::current()) {
  expect(name, x, rows, cols, at);
  if (x.dtype != dtype)
    throw Error(ExitCode::internal, std::string(at.function_name()) + ": " + name + " is " + dtype_name(x.dtype) +
                                        ", expected " + dtype_name(dtype));
  if (x.rows > 1 && x.stride < x.cols)
    throw Error(ExitCode::internal, std::string(at.function_name()) + ": " + name + " has overlapping rows");
}

void expect_cache(const KvCache& cache, At at = At::current()) {
  require(cache.dtype == DType::f32 || cache.dtype == DType::bf16, "the cache is neither f32 nor bf16", at);
  require(cache.kv_heads > 0 && cache.head_dim > 0 && cache.block_size > 0, "the cache has an empty dimension", at);
}

void expect_slots(const SlotState& slots, At at = At::current()) {
  require(slots.counts && slots.edits && slots.num_edits, "a part of the slots' state is missing", at);
  require(slots.slots > 0 && slots.vocab > 0, "the slots have an empty dimension", at);
}

}  // namespace

void check(const Embed& op, DType activation) {
  Dim tokens("tokens", op.step.tokens), hidden("hidden", op.table.in_features);
  expect_tensor("out", op.out, activation, tokens, hidden);
}

void check(const Matmul& op, DType activation) {
  Dim tokens("tokens"), in_features("in_features", op.weight.in_features);
  Dim out_features("out_features", op.weight.out_features);
  expect_tensor("x", op.x, activation, tokens, in_features);
  // The head's logits are f32 on every backend.
  expect_tensor("out", op.out, op.out.dtype == DType::f32 ? DType::f32 : activation, tokens, out_features);
}

void check(const RmsNorm& op, DType activation) {
  Dim tokens("tokens"), hidden("hidden");
  expect_tensor("x", op.x, activation, tokens, hidden);
  expect_tensor("out", op.out, activation, tokens, hidden);
}

void check(const AddRmsNorm& op, DType activation) {
  Dim tokens("tokens"), hidden("hidden");
  expect_tensor("x", op.x, activation, tokens, hidden);
  expect_tensor("residual", op.residual, activation, tokens, hidden);
  expect_tensor("out", op.out, activation, tokens, hidden);
}

void check(const QkNormRopeStore& op, DType activation) {
  expect_cache(op.cache);
  Dim tokens("tokens", op.step.tokens);
  Dim qkv("(heads + 2 kv_heads) head_dim", (op.heads + 2 * op.cache.kv_heads) * op.cache.head_dim);
  expect_tensor("qkv", op.qkv, activation, tokens, qkv);
  require(op.rotary_dim >= 0 && op.rotary_dim <= op.cache.head_dim, "rotary_dim is not within the head");
  int64_t rotary_dim = op.rotary_dim > 0 ? op.rotary_dim : op.cache.head_dim;
  require(!op.rope || rotary_dim % 2 == 0, "RoPE needs an even rotary_dim");
}

void check(const PagedAttention& op, DType activation) {
  expect_cache(op.cache);
  Dim tokens("tokens", op.step.tokens);
  Dim qkv("(heads + 2 kv_heads) head_dim", (op.heads + 2 * op.cache.kv_heads) * op.cache.head_dim);
  Dim out("heads head_dim", op.heads * op.cache.head_dim);
  expect_tensor("qkv", op.qkv, activation, tokens, qkv);
  expect_tensor("out", op.out, activation, tokens, out);
  require(op.heads % op.cache.kv_heads == 0, "heads is no multiple of kv_heads");
}

void check(const GatedMul& op, DType activation) {
  Dim tokens("tokens"), mlp("mlp"), gate_up("2 mlp", 2 * op.out.cols);
  expect_tensor("out", op.out, activation, tokens, mlp);
  expect_tensor("gate_up", op.gate_up, activation, tokens, gate_up);
}

void check(const SoftCap& op) {
  Dim rows("rows"), cols("cols");
  expect_tensor("x", op.x, DType::f32, rows, cols);
  require(op.cap > 0, "the cap is not above 0");
}

void check(const GatherRows& op, DType activation) {
  Dim rows("rows"), tokens("tokens"), hidden("hidden");
  expect_tensor("out", op.out, activation, rows, hidden);
  expect_tensor("x", op.x, activation, tokens, hidden);
}

void check(const Head& op) {
  Dim rows("rows"), vocab("vocab");
  expect_tensor("logits", op.logits, DType::f32, rows, vocab);
  require(op.logits.cols > 0, "no vocabulary");
  if (op.slots.counts) {
    require(op.logits.cols <= op.slots.vocab, "the slots' vocabulary is smaller than the logits'");
    expect_slots(op.slots);
  }
}

void check(const AcceptDrafts& op) {
  require(op.count >= 0, "the number of rows is negative");
  require(op.rows && op.results && op.last_tokens && op.drafts, "an array is missing");
  if (op.slots.counts) expect_slots(op.slots);
}

void check(const DrawFromTable& op) {
  check(op.head);
  require(op.vocab > 0 && op.vocab <= op.head.logits.cols, "the table's tokens are not the logits'");
  require(op.agreement >= 0 && op.agreement <= 1, "the agreement is no probability");
}

static void expect_part(const RankLogits& part, const Head& head) {
  Dim rows("rows", head.logits.rows), cols("vocab of the rank");
  expect_tensor("part", part.logits, DType::f32, rows, cols);
  expect_tensor("edited", part.edited, DType::f32, rows, cols);
  require(part.ids >= 0 && part.ids <= part.logits.cols, "more ids than columns");
}

void check(const FindCandidates& op) {
  check(op.head);
  expect_part(op.part, op.head);
}

void check(const ChooseCandidates& op) {
  check(op.head);
  expect_part(op.part, op.head);
  require(op.ranks > 0, "no ranks");
}

void check(const SettleCandidates& op) {
  check(op.head);
  require(op.ranks > 0, "no ranks");
}

void check(const PrepareSlot& op) {
  expect_slots(op.slots);
  require(op.slot >= 0 && op.slot < op.slots.slots, "no such slot");
  auto in_vocab = [&](int32_t id) { return id >= 0 && id < op.slots.vocab; };
  for (std::span<const int32_t> ids : {op.prompt, op.generated})
    for (int32_t id : ids) require(in_vocab(id), "a token beyond the vocabulary");
  require(op.edits.size() <= kMaxLogitEdits, "too many edits");
  int32_t last = 0;
  for (const LogitEdit& edit : op.edits) {
    require(in_vocab(edit.id), "an edit beyond the vocabulary");
    require(edit.id >= last, "the edits' ids do not ascend");
    require(edit.bias < std::numeric_limits<float>::infinity(), "a bias is NaN or infinite upward");
    last = edit.id;
  }
}

void check(const CopyBlocks& op) {
  expect_cache(op.cache);
  for (BlockCopy copy : op.copies)
    require(copy.from >= 0 && copy.from < op.cache.blocks && copy.to >= 0 && copy.to < op.cache.blocks,
            "a block beyond the cache");
}

}  // namespace penstock
