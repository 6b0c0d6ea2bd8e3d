// What the user decides about a run of the engine (style.md, habit 10). Immutable once the engine is built.
#pragma once
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "engine/schedule/speculation.h"
#include "kernels/communicator.h"

namespace penstock {

struct EngineConfig {
  DeviceKind device = DeviceKind::cpu;
  DType dtype = DType::f32;           // of the arithmetic; auto is resolved before
  int32_t threads = 0;                // CPU: of all ranks of all replicas together; 0: one a core
  int32_t tensor_parallel = 1;        // ranks of a replica; 0: what fits (step/layout.h)
  int32_t replicas = 1;               // engines that each have the whole model; 0 where tensor_parallel is
  std::vector<int> devices = {};      // the GPU of each rank, replica by replica; empty: 0, 1, …
  int32_t max_batch = 64;             // sequences that run at the same time, of a replica
  int32_t max_step_tokens = 512;      // new tokens in one step
  int32_t max_context = 0;            // tokens a sequence may have; 0: the model's own maximum
  int64_t kv_blocks = 0;              // of the pool; 0: from what memory allows
  int32_t block_size = 64;            // tokens a block: 16, 32, 64 or 128 (any >= 1 on the CPU)
  double gpu_memory_fraction = 0.92;  // of a GPU's memory that may be used
  // max_batch and max_step_tokens are not the user's wish: the plan may take less where memory is short.
  bool fit_batch = false;
  bool fit_step_tokens = false;
  bool prefix_cache = true;
  int32_t steps_in_flight = 2;
  int32_t overlap_from = 0;  // tests, measuring: as halved_from() says; 0: where it pays
  bool graphs = true;
  KernelChoice kernels = KernelChoice::automatic;  // CUDA
  bool profile_ops = false;                        // some steps run with marks between their ops
  bool deterministic = false;
  Speculation speculation = Speculation::off;
  int32_t fixed_drafts = -1;  // bench, tests: for every row; -1: as many as gain time
  // bench: tokens come from a table (kernels/backend.h, DrawFromTable); drafts agree at this rate. < 0: not so.
  float table_agreement = -1;
  bool random_weights = false;              // bench: a fixed seed instead of the folder's weights
  bool allow_slow_tensor_parallel = false;  // across GPUs without NVLink
  bool poison_memory = false;               // tests: fresh device memory holds NaN

  // Steps of so many tokens are computed in two halves, one's products beside the other's sums over ranks. Small halves
  // leave a GPU's multiprocessors idle: on two H200 Llama-3.1-8B's steps took 1.06 x as long with 1,024 tokens, and
  // 0.98 with 2,048, 0.95 with 8,192. On the CPU a sum is its rank's own work, and nothing is hidden.
  int64_t halved_from() const {
    constexpr int64_t kNever = std::numeric_limits<int64_t>::max(), kPays = 2048;
    if (tensor_parallel < 2 || tensor_parallel > Communicator::kMostBeginners) return kNever;
    if (overlap_from > 0) return overlap_from;
    return device == DeviceKind::cpu ? kNever : kPays;
  }
  int32_t num_ranks() const { return tensor_parallel * replicas; }
  int device_of(int32_t replica, int32_t rank) const {
    const int32_t place = replica * tensor_parallel + rank;
    return devices.empty() ? place : devices[place];
  }
};

}  // namespace penstock
