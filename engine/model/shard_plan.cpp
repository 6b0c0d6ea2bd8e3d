#include "engine/model/shard_plan.h"

#include <algorithm>
#include <string>
#include <utility>

namespace penstock {
namespace {

constexpr std::pair<std::string_view, Cut> kTable[] = {
    {"embed_tokens.weight", Cut::vocab},
    {"lm_head.weight", Cut::vocab},
    {"self_attn.q_proj.weight", Cut::q_heads},
    {"self_attn.q_proj.bias", Cut::q_heads},
    {"self_attn.k_proj.weight", Cut::kv_heads},
    {"self_attn.k_proj.bias", Cut::kv_heads},
    {"self_attn.v_proj.weight", Cut::kv_heads},
    {"self_attn.v_proj.bias", Cut::kv_heads},
    {"self_attn.o_proj.weight", Cut::q_columns},
    {"self_attn.o_proj.bias", Cut::replicate},
    {"mlp.gate_proj.weight", Cut::mlp_rows},
    {"mlp.gate_proj.bias", Cut::mlp_rows},
    {"mlp.up_proj.weight", Cut::mlp_rows},
    {"mlp.up_proj.bias", Cut::mlp_rows},
    {"mlp.down_proj.weight", Cut::mlp_columns},
    {"mlp.down_proj.bias", Cut::replicate},
    {"norm.weight", Cut::replicate},  // model.norm, input_layernorm, post_attention_layernorm, q_norm, k_norm
};

bool divides_kv_heads(int64_t kv_heads, int64_t ranks) { return kv_heads % ranks == 0 || ranks % kv_heads == 0; }

bool fits(const ModelConfig& model, int64_t ranks) {
  return model.heads % ranks == 0 && divides_kv_heads(model.kv_heads, ranks) && model.mlp % ranks == 0;
}

std::string possible_ranks(const ModelConfig& model) {
  std::string list;
  for (int64_t ranks = 1; ranks <= model.heads; ++ranks)
    if (fits(model, ranks)) list += (list.empty() ? "" : ", ") + std::to_string(ranks);
  return list;
}

Span share(int64_t total, int rank, int ranks) { return {total * rank / ranks, total * (rank + 1) / ranks}; }

}  // namespace

Cut cut_of(std::string_view tensor_name) {
  for (auto [suffix, cut] : kTable)
    if (tensor_name.ends_with(suffix)) return cut;
  throw Error(ExitCode::bad_model, "tensor " + std::string(tensor_name) + ": not a weight of this architecture");
}

ShardPlan::ShardPlan(const ModelConfig& model, int rank, int ranks)
    : rank_(rank), ranks_(ranks), head_dim_(model.head_dim) {
  if (!fits(model, ranks))
    throw Error(ExitCode::bad_model, "--tensor-parallel " + std::to_string(ranks) + " does not divide the model's " +
                                         std::to_string(model.heads) + " heads, " + std::to_string(model.kv_heads) +
                                         " key/value heads and " + std::to_string(model.mlp) +
                                         " intermediate features; these do: " + possible_ranks(model));
  heads_ = share(model.heads, rank, ranks);
  mlp_ = share(model.mlp, rank, ranks);
  int64_t first_kv = model.kv_heads * rank / ranks;
  kv_heads_ = {first_kv, first_kv + std::max<int64_t>(1, model.kv_heads / ranks)};
  vocab_stride_ = (model.vocab + ranks - 1) / ranks;
  vocab_ = {std::min(model.vocab, rank * vocab_stride_), std::min(model.vocab, (rank + 1) * vocab_stride_)};
}

Span ShardPlan::rows(Cut cut, int64_t rows) const {
  switch (cut) {
    case Cut::q_heads:
      return {heads_.begin * head_dim_, heads_.end * head_dim_};
    case Cut::kv_heads:
      return {kv_heads_.begin * head_dim_, kv_heads_.end * head_dim_};
    case Cut::mlp_rows:
      return mlp_;
    case Cut::vocab:
      return vocab_;
    default:
      return {0, rows};
  }
}

Span ShardPlan::columns(Cut cut, int64_t cols) const {
  switch (cut) {
    case Cut::q_columns:
      return {heads_.begin * head_dim_, heads_.end * head_dim_};
    case Cut::mlp_columns:
      return mlp_;
    default:
      return {0, cols};
  }
}

ShardPlan draft_shard_plan(const ModelConfig& model, int rank, int ranks) {
  try {
    return {model, rank, ranks};
  } catch (const Error& error) {
    throw Error(error.code(), std::string("the draft model: ") + error.what());
  }
}

}  // namespace penstock
