// `penstock bench --all-reduce`: the sums of tensor-parallel ranks, by size; for scripts/profile.sh tensor-parallel.
#pragma once
#include "engine/engine_config.h"

namespace penstock {

// On config.tensor_parallel GPUs. Prints to standard output how sums are taken by default and, for 8 KiB to 128 MiB,
// what one takes in a graph of many by the own kernels and by NCCL. Errors: Error(no_device) without a GPU or without
// NCCL.
void bench_all_reduce(const EngineConfig& config);

}  // namespace penstock
