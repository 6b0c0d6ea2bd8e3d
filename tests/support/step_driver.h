// Steps of a model with chosen rows, without a scheduler: what a step holds does not hang on when something arrived.
#pragma once
#include <memory>
#include <vector>

#include "engine/model/weights.h"
#include "engine/step/model_runner.h"
#include "kernels/communicator.h"
#include "tests/support/host_products.h"

namespace penstock::test {

class StepDriver {
 public:
  struct Row {
    int32_t sequence, tokens;
  };

  // prompts[s] is sequence s, in slot s. All references must outlive the driver. host_products: see host_products.h.
  StepDriver(const ModelConfig& model, const SafetensorsFolder& files, const EngineConfig& config,
             std::vector<std::vector<int32_t>> prompts, int32_t max_tokens, bool host_products = false)
      : model_(model),
        config_(placed(config, prompts.size(), max_tokens)),
        prompts_(std::move(prompts)),
        blocks_each_((max_tokens + config_.block_size - 1) / config_.block_size),
        shard_(model_, 0, 1),
        communicators_(make_thread_communicators(1)),
        backend_(backend_for(config_, host_products)),
        memory_(plan_memory(model_, config_, shard_, *backend_)),
        runner_(model_, config_, memory_, shard_, &files, config_.threads, *backend_, *communicators_[0], times_),
        computed_(prompts_.size()) {}

  // A row takes a sequence's next tokens; whoever has its prompt behind it draws one, sequences with odd numbers by
  // temperature. Results are in the order of the rows that draw.
  std::vector<HeadResult> step(const std::vector<Row>& rows) {
    StepPlan plan;
    plan.id = ++steps_;
    for (auto [s, tokens] : rows) {
      plan.rows.push_back({.slot = s,
                           .first_token = static_cast<int32_t>(plan.input_ids.size()),
                           .num_tokens = tokens,
                           .first_position = computed_[s],
                           .first_block = static_cast<int32_t>(plan.block_tables.size()),
                           .num_blocks = blocks_each_});
      for (int32_t b = 0; b < blocks_each_; ++b) plan.block_tables.push_back(s * blocks_each_ + b);
      const auto length = static_cast<int32_t>(prompts_[s].size());
      for (int32_t i = 0; i < tokens; ++i, ++computed_[s])
        plan.input_ids.push_back(computed_[s] < length ? prompts_[s][computed_[s]] : input_from_slot(s));
      if (computed_[s] < length) continue;
      HeadRow want{.slot = s, .position = computed_[s], .seed = static_cast<uint64_t>(s)};
      if (s % 2) want.temperature = 0.8f, want.top_p = 0.95f;
      plan.head.push_back(want);
      plan.head_tokens.push_back(static_cast<int32_t>(plan.input_ids.size()) - 1);
    }
    ModelRunner::Timing timing;
    return runner_.run(plan, timing).head;
  }

 private:
  static std::unique_ptr<Backend> backend_for(const EngineConfig& config, bool host_products) {
    auto backend = make_backend({.device = config.device,
                                 .dtype = config.dtype,
                                 .threads = config.threads,
                                 .poison_memory = config.poison_memory});
    if (!host_products) return backend;
    return std::make_unique<HostProducts>(std::move(backend));
  }
  static EngineConfig placed(EngineConfig config, size_t sequences, int32_t max_tokens) {
    config.kv_blocks = static_cast<int64_t>(sequences) * ((max_tokens + config.block_size - 1) / config.block_size);
    return config;
  }

  const ModelConfig& model_;
  const EngineConfig config_;
  const std::vector<std::vector<int32_t>> prompts_;
  const int32_t blocks_each_;
  const ShardPlan shard_;
  std::vector<std::unique_ptr<Communicator>> communicators_;
  std::unique_ptr<Backend> backend_;
  const MemoryPlan memory_;
  StageTimes times_;
  ModelRunner runner_;
  std::vector<int32_t> computed_;
  uint64_t steps_ = 0;
};

}  // namespace penstock::test
