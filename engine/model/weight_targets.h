// Which tensor of a checkpoint goes where in Weights.
#pragma once
#include <string>
#include <vector>

#include "engine/model/weights.h"

namespace penstock {

// A checkpoint tensor, or some rows of it: rows of a stacked matrix, or a part of an f32 vector.
struct WeightTarget {
  std::string tensor;
  Cut cut = Cut::replicate;
  int64_t rows = 0, cols = 0;  // of this part; a vector has cols = 0
  Weight* matrix = nullptr;
  DeviceBuffer* vector = nullptr;
  int64_t first = 0;     // row of `matrix`, or element of `vector`
  int64_t source = 0;    // the checkpoint tensor's row where this part begins
  int64_t all_rows = 0;  // of the checkpoint tensor

  bool is_norm() const { return tensor.ends_with("norm.weight"); }
  // A bias that is added after the ranks' parts are summed belongs to rank 0 alone.
  bool is_mine(const ShardPlan& shard) const {
    const bool summed = tensor.ends_with("o_proj.bias") || tensor.ends_with("down_proj.bias");
    return shard.rank() == 0 || !summed;
  }
};

// Every tensor of the model in checkpoint order, with its place in `weights`; allocates nothing. Parts of one device
// object stand next to each other.
std::vector<WeightTarget> weight_targets(const ModelConfig& model, const ShardPlan& shard, Weights& weights);

// Calls visit(first part, rows, columns) for each object on this rank's device: the sum of its parts.
template <class Visit>
void for_each_object(const std::vector<WeightTarget>& list, const ShardPlan& shard, Visit visit) {
  for (size_t i = 0; i < list.size();) {
    int64_t rows = 0, cols = 0;
    size_t j = i;
    auto same = [&](const WeightTarget& t) { return t.matrix == list[i].matrix && t.vector == list[i].vector; };
    for (; j < list.size() && same(list[j]); ++j) {
      const Cut cut = list[j].cut;
      rows += cut == Cut::vocab ? shard.vocab() : shard.rows(cut, list[j].rows).size();
      cols = shard.columns(cut, list[j].cols).size();
    }
    if (list[i].is_mine(shard)) visit(list[i], rows, cols);
    i = j;
  }
}

}  // namespace penstock
