// The account of a step: from the plan's numbers alone, what its ops cannot do without. Padding is no work, so what it
// costs shows in the shares.
#pragma once
#include <utility>
#include <vector>

#include "engine/model/model_config.h"
#include "engine/model/shard_plan.h"
#include "engine/schedule/step_plan.h"
#include "engine/step/op_work.h"
#include "kernels/backend.h"

namespace penstock {

// Of one rank. In a step that mixes both, each has the work of its own tokens, and weights are divided by tokens.
struct StepWork {
  OpWork prefill{}, decode{};
  OpWork head{};  // from gathering the wanted rows to sampling: the stage `sample`

  StepWork& operator+=(const StepWork& other);
};

// Immutable; any thread.
class StepAccount {
 public:
  // `head_rows`: of logits at once; more of them take several passes, and each reads the weights.
  StepAccount(const ModelConfig& model, const ShardPlan& shard, const Backend& backend, int64_t head_rows);

  StepWork work_of(const StepPlan& plan) const;

 private:
  struct Matrix {
    Op op;
    int64_t out_features, in_features;
    double bytes;  // as the backend stores it
  };
  // `share`: of the reading of weights.
  void add_trunk(OpWork& work, double tokens, double share, const std::vector<AttentionReach>& reaches) const;
  void add_head(OpWork& work, const StepPlan& plan) const;

  int64_t layers_, hidden_, heads_, kv_heads_, head_dim_, mlp_, vocab_, ranks_, head_rows_;
  bool sandwich_norms_, soft_cap_;
  ElementBytes elements_;
  std::vector<Matrix> layer_matrices_;
  Matrix logits_;
  double embedding_row_bytes_;
  std::vector<std::pair<int64_t, double>> windows_;  // and how many layers have each
};

}  // namespace penstock
