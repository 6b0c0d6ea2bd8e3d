// The paged KV memory of one rank: every layer's K and V blocks.
#pragma once
#include <vector>

#include "engine/model/model_config.h"
#include "engine/model/shard_plan.h"
#include "kernels/backend.h"

namespace penstock {

class KvPool {
 public:
  KvPool(const ModelConfig& model, const ShardPlan& shard, Backend& backend, int64_t blocks, int64_t block_size) {
    int64_t bytes = block_bytes(model, shard, backend.kv_dtype(), block_size) / model.layers / 2 * blocks;
    for (int64_t i = 0; i < model.layers; ++i) {
      DeviceBuffer k = backend.allocate(bytes), v = backend.allocate(bytes);
      layers_.push_back({.k = k.data(),
                         .v = v.data(),
                         .dtype = backend.kv_dtype(),
                         .blocks = blocks,
                         .kv_heads = shard.kv_heads(),
                         .block_size = block_size,
                         .head_dim = model.head_dim});
      buffers_.push_back(std::move(k));
      buffers_.push_back(std::move(v));
    }
  }

  // Of one block in all layers.
  static int64_t block_bytes(const ModelConfig& model, const ShardPlan& shard, DType dtype, int64_t block_size) {
    return 2 * model.layers * shard.kv_heads() * block_size * model.head_dim * dtype_bytes(dtype);
  }

  const std::vector<KvCache>& layers() const { return layers_; }

 private:
  std::vector<DeviceBuffer> buffers_;
  std::vector<KvCache> layers_;
};

}  // namespace penstock
