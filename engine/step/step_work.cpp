#include "engine/step/step_work.h"

#include <map>

namespace penstock {
namespace {

void add(OpWork& sum, Op op, const Work& work) { sum[static_cast<size_t>(op)] += work; }

std::vector<std::pair<int64_t, double>> windows_of(const ModelConfig& model) {
  std::map<int64_t, double> layers;
  for (const LayerConfig& layer : model.layer) ++layers[layer.window];
  return {layers.begin(), layers.end()};
}

}  // namespace

StepWork& StepWork::operator+=(const StepWork& other) {
  for (size_t i = 0; i < kNumOps; ++i) {
    prefill[i] += other.prefill[i];
    decode[i] += other.decode[i];
    head[i] += other.head[i];
  }
  return *this;
}

StepAccount::StepAccount(const ModelConfig& model, const ShardPlan& shard, const Backend& backend, int64_t head_rows)
    : layers_(model.layers),
      hidden_(model.hidden),
      heads_(shard.heads()),
      kv_heads_(shard.kv_heads()),
      head_dim_(model.head_dim),
      mlp_(shard.mlp()),
      vocab_(model.vocab),
      ranks_(shard.ranks()),
      head_rows_(head_rows),
      sandwich_norms_(model.sandwich_norms),
      soft_cap_(model.logit_soft_cap > 0),
      elements_{static_cast<double>(dtype_bytes(backend.activation_dtype())),
                static_cast<double>(dtype_bytes(backend.kv_dtype()))},
      windows_(windows_of(model)) {
  const auto matrix = [&](Op op, int64_t out_features, int64_t in_features) {
    const int64_t bytes = backend.weight_bytes(out_features, in_features, model.checkpoint_dtype);
    return Matrix{op, out_features, in_features, static_cast<double>(bytes)};
  };
  layer_matrices_ = {matrix(Op::qkv, shard.qkv_features(), hidden_), matrix(Op::output, hidden_, heads_ * head_dim_),
                     matrix(Op::gate_up, 2 * mlp_, hidden_), matrix(Op::down, hidden_, mlp_)};
  logits_ = matrix(Op::logits, shard.vocab(), hidden_);
  embedding_row_bytes_ = logits_.bytes / static_cast<double>(shard.vocab());
}

StepWork StepAccount::work_of(const StepPlan& plan) const {
  // Decoding rows come first.
  const int64_t decode_tokens = plan.num_tokens() - plan.num_prefill_tokens;
  std::vector<AttentionReach> prefill(windows_.size()), decode(windows_.size());
  for (const PlanRow& row : plan.rows) {
    std::vector<AttentionReach>& part = row.first_token < decode_tokens ? decode : prefill;
    for (size_t i = 0; i < windows_.size(); ++i)
      part[i] += attention_reach(row.first_position, row.num_tokens, windows_[i].first);
  }
  StepWork work;
  const double share = static_cast<double>(decode_tokens) / static_cast<double>(plan.num_tokens());
  if (decode_tokens > 0) add_trunk(work.decode, static_cast<double>(decode_tokens), share, decode);
  if (plan.num_prefill_tokens > 0)
    add_trunk(work.prefill, static_cast<double>(plan.num_prefill_tokens), 1 - share, prefill);
  if (!plan.head.empty()) add_head(work.head, plan);
  return work;
}

void StepAccount::add_trunk(OpWork& work, double tokens, double share,
                            const std::vector<AttentionReach>& reaches) const {
  const auto layers = static_cast<double>(layers_), hidden = static_cast<double>(hidden_);
  // A rank looks up the ids of its own part of the vocabulary.
  add(work, Op::embed, embed_work(tokens, hidden, embedding_row_bytes_ / static_cast<double>(ranks_), elements_));
  add(work, Op::rms_norm, (1 + (sandwich_norms_ ? 2 * layers : 0)) * rms_norm_work(tokens, hidden, elements_));
  add(work, Op::add_rms_norm, 2 * layers * add_rms_norm_work(tokens, hidden, elements_));
  for (const Matrix& m : layer_matrices_)
    add(work, m.op,
        layers * matmul_work(tokens, static_cast<double>(m.out_features), static_cast<double>(m.in_features),
                             share * m.bytes, elements_.activation, elements_));
  const auto heads = static_cast<double>(heads_), kv_heads = static_cast<double>(kv_heads_),
             head_dim = static_cast<double>(head_dim_);
  add(work, Op::qk_norm_rope_store, layers * qk_norm_rope_store_work(tokens, heads, kv_heads, head_dim, elements_));
  for (size_t i = 0; i < windows_.size(); ++i)
    add(work, Op::paged_attention,
        windows_[i].second * paged_attention_work(reaches[i], heads, kv_heads, head_dim, elements_));
  add(work, Op::gated_mul, layers * gated_mul_work(tokens, static_cast<double>(mlp_), elements_));
}

void StepAccount::add_head(OpWork& work, const StepPlan& plan) const {
  const auto wanted = static_cast<int64_t>(plan.head.size());
  const auto rows = static_cast<double>(wanted), vocab = static_cast<double>(vocab_);
  const auto passes = static_cast<double>((wanted + head_rows_ - 1) / head_rows_);
  double scored = 0;
  for (const HeadRow& row : plan.head) scored += row.target >= 0;
  add(work, Op::gather_rows, gather_rows_work(rows, static_cast<double>(hidden_), elements_));
  add(work, Op::logits,
      matmul_work(rows, static_cast<double>(logits_.out_features), static_cast<double>(hidden_), passes * logits_.bytes,
                  4, elements_));
  if (soft_cap_) add(work, Op::soft_cap, soft_cap_work(rows, vocab));
  add(work, Op::sample, logits_read_work(rows - scored, vocab));
  add(work, Op::score, logits_read_work(scored, vocab));
}

}  // namespace penstock
