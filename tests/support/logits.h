// The logits of whole sequences, for tests: every rank of the model on a thread, driven step by step without a
// scheduler.
#pragma once
#include <algorithm>
#include <exception>
#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include "engine/model/rope_table.h"
#include "engine/step/model_runner.h"
#include "kernels/communicator.h"

namespace penstock::test {

namespace detail {

// Positions [begin, end) of one sequence, which has the blocks 0, 1, …; all their logits are wanted.
inline StepPlan plan_chunk(const std::vector<int32_t>& ids, int32_t begin, int32_t end, int32_t block_size,
                           int32_t rope_begin) {
  StepPlan plan;
  plan.id = static_cast<uint64_t>(begin) + 1;
  const int32_t blocks = (end + block_size - 1) / block_size;
  plan.rows.push_back(
      {.num_tokens = end - begin, .first_position = begin, .num_blocks = blocks, .rope_begin = rope_begin});
  for (int32_t b = 0; b < blocks; ++b) plan.block_tables.push_back(b);
  for (int32_t p = begin; p < end; ++p) {
    plan.input_ids.push_back(ids[p]);
    plan.head.push_back({.target = 0});  // scored, so that nothing is sampled
    plan.head_tokens.push_back(p - begin);
  }
  return plan;
}

inline void run_rank(int rank, const ModelConfig& model, const SafetensorsFolder& files, const EngineConfig& config,
                     Backend& backend, Communicator& communicator, const std::vector<std::vector<int32_t>>& sequences,
                     const std::function<void(size_t, int32_t, const float*)>& see) {
  const ShardPlan shard(model, rank, config.tensor_parallel);
  const MemoryPlan memory = plan_memory(model, config, shard, backend);
  const RopeLayout rope(model, memory.max_context);
  StageTimes times;
  ModelRunner runner(model, config, memory, shard, &files, 1, backend, communicator, times);
  for (size_t s = 0; s < sequences.size(); ++s) {
    const auto& ids = sequences[s];
    const auto count = static_cast<int32_t>(ids.size());
    const bool is_long = rope.long_from > 0 && count > rope.long_from;
    int32_t position = 0;
    runner.decoder().set_observer([&](const std::string& name, const Tensor& x) {
      if (rank != 0 || name != "logits") return;
      std::vector<float> row(x.cols);
      for (int64_t r = 0; r < x.rows; ++r) {
        backend.download(row.data(), x.row<float>(r), x.cols * 4);
        see(s, position++, row.data());
      }
    });
    for (int32_t begin = 0; begin < count; begin += config.max_step_tokens) {
      const int32_t end = std::min(count, begin + config.max_step_tokens);
      ModelRunner::Timing timing;
      runner.run(plan_chunk(ids, begin, end, config.block_size, is_long ? static_cast<int32_t>(rope.long_begin) : 0),
                 timing);
    }
  }
}

}  // namespace detail

// `see` gets the sequence's index, a position and its logits, on rank 0's thread, in order. Each sequence is prefilled
// in steps of config.max_step_tokens, with the RoPE that a sequence of all its ids has.
inline void each_logits(ModelConfig model, const SafetensorsFolder& files, EngineConfig config,
                        const std::vector<std::vector<int32_t>>& sequences,
                        const std::function<void(size_t sequence, int32_t position, const float* logits)>& see) {
  model.checkpoint_dtype = checkpoint_dtype(files);
  config.graphs = false;  // an observer sees what is run, not what is replayed
  size_t longest = 0;
  for (const auto& ids : sequences) longest = std::max(longest, ids.size());
  config.kv_blocks = (static_cast<int64_t>(longest) + config.block_size - 1) / config.block_size;
  std::vector<std::unique_ptr<Backend>> backends;
  std::vector<Backend*> ranks;
  for (int rank = 0; rank < config.tensor_parallel; ++rank) {
    backends.push_back(make_backend({.device = config.device,
                                     .index = config.devices.empty() ? 0 : config.devices[rank],
                                     .dtype = config.dtype,
                                     .threads = 1,
                                     .poison_memory = config.poison_memory}));
    ranks.push_back(backends.back().get());
  }
  auto communicators = make_communicators(ranks);
  std::vector<std::exception_ptr> errors(config.tensor_parallel);
  std::vector<std::thread> threads;
  for (int rank = 0; rank < config.tensor_parallel; ++rank)
    threads.emplace_back([&, rank] {
      try {
        detail::run_rank(rank, model, files, config, *backends[rank], *communicators[rank], sequences, see);
      } catch (...) {
        errors[rank] = std::current_exception();
        communicators[rank]->abort();
      }
    });
  for (std::thread& thread : threads) thread.join();
  for (const std::exception_ptr& error : errors)
    if (error) std::rethrow_exception(error);
}

}  // namespace penstock::test
