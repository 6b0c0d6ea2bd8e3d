#include "kernels/op_checks.h"

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
  require(!op.rope || op.cache.head_dim % 2 == 0, "RoPE needs an even head_dim");
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

void check(const SiluMul& op, DType activation) {
  Dim tokens("tokens"), mlp("mlp"), gate_up("2 mlp", 2 * op.out.cols);
  expect_tensor("out", op.out, activation, tokens, mlp);
  expect_tensor("gate_up", op.gate_up, activation, tokens, gate_up);
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
}

void check(const CopyBlocks& op) {
  expect_cache(op.cache);
  for (BlockCopy copy : op.copies)
    require(copy.from >= 0 && copy.from < op.cache.blocks && copy.to >= 0 && copy.to < op.cache.blocks,
            "a block beyond the cache");
}

}  // namespace penstock
