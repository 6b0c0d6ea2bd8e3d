// `penstock bench --ops`: each op at the shapes of a model, against what the machine can do at most.
#pragma once
#include "engine/engine_config.h"
#include "engine/model/model_config.h"

namespace penstock {

// Measures the roofline (multiply-adds in registers, reads from memory, reads from cache), then the ops, and prints a
// table to standard output. A time is the median over calls. What a real run finds in memory rather than in a cache,
// weights and keys, is taken in turn from copies that exceed the caches together.
void bench_ops(const ModelConfig& model, const EngineConfig& config);

// The same on config.device, a GPU, in graphs. The roofline: a large matmul, and copies of device memory.
void bench_gpu_ops(const ModelConfig& model, const EngineConfig& config);

}  // namespace penstock
