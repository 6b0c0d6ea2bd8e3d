// Tensor parallelism as a table: which axis of which tensor is cut, and what a rank's cut is (Megatron-LM, Shoeybi et
// al. 2019, section 3): QKV, gate/up and the vocabulary by output rows, the output and down projections by input
// columns.
#pragma once
#include <cstdint>
#include <string_view>

#include "engine/model/model_config.h"

namespace penstock {

enum class Cut {
  replicate,  // every rank holds the whole tensor
  q_heads,    // rows, by query head
  kv_heads,   // rows, by key/value head; a head is on several ranks when there are more ranks than heads
  mlp_rows,   // rows, by intermediate feature
  vocab,      // rows, by token id
  q_columns,  // columns, by query head
  mlp_columns,
};

// By the last parts of the checkpoint's name ("self_attn.q_proj.weight"). Errors: Error(bad_model) for another name.
Cut cut_of(std::string_view tensor_name);

struct Span {
  int64_t begin = 0, end = 0;
  int64_t size() const { return end - begin; }
};

// One rank's share of the model. Errors: Error(bad_model), with the rank counts that would do, when a size does not
// divide.
class ShardPlan {
 public:
  ShardPlan(const ModelConfig& model, int rank, int ranks);

  int rank() const { return rank_; }
  int ranks() const { return ranks_; }
  int64_t heads() const { return heads_.size(); }
  int64_t kv_heads() const { return kv_heads_.size(); }
  int64_t mlp() const { return mlp_.size(); }
  int64_t vocab() const { return vocab_stride_; }  // rows of the rank's table, the last rank's padding included
  int64_t first_id() const { return vocab_.begin; }
  int64_t ids() const { return vocab_.size(); }  // rows that are no padding
  int64_t qkv_features() const { return (heads() + 2 * kv_heads()) * head_dim_; }

  // The rows and columns of a checkpoint tensor [rows, cols] that this rank holds.
  Span rows(Cut cut, int64_t rows) const;
  Span columns(Cut cut, int64_t cols) const;

 private:
  int rank_, ranks_;
  int64_t head_dim_, vocab_stride_;
  Span heads_, kv_heads_, mlp_, vocab_;
};

// Of a model that drafts for another, which the message says.
ShardPlan draft_shard_plan(const ModelConfig& model, int rank, int ranks);

}  // namespace penstock
