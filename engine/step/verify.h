// Runs one model on two backends side by side and compares every tensor that the decoder shows, in the order it makes
// them, so that a fault is named where it begins.
//
// The work is fixed: two sequences of random ids from a fixed seed, prefilled in two chunks, then decoded by a few
// teacher-forced steps. Both sides run the same steps without graphs, so nothing but the arithmetic differs.
//
// Each tensor is compared, then the tested side is given the reference's in its place: an error is that of the few
// verbs since the tensors before, at every depth, and does not pile up. The argmaxes come from a second pass without
// that.
//
// The rule. A row's error is |tested - reference| / |reference|, both as Euclidean norms over the row's columns; a
// tensor's is that of its worst row. It may be
//     kSlack x roundoff
// where roundoff is that of the coarser side: bf16 2^-8; f32 2^-24 sqrt(mlp), for a sum of mlp terms. kSlack stands for
// the roundings between two shown tensors (inputs of matmuls, K and V), and for softmax, which turns a relative error
// of a score into that error times the score. A wrong tensor differs by about 1.
#pragma once
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "engine/engine_config.h"
#include "engine/model/model_config.h"
#include "engine/model/safetensors_file.h"

namespace penstock {

struct TensorError {
  std::string name;  // "layers.3.attention"
  int64_t step = 0;  // from 0; the first two are prefill
  double error = 0;  // relative; NaN when either side is not finite
  double bound = 0;
  bool within() const { return error <= bound; }  // false for NaN
};

struct VerifyReport {
  std::optional<TensorError> first_beyond;  // the first tensor beyond its bound; nothing after it was compared
  std::vector<TensorError> worst;           // of each kind ("attention", over layers and steps), the largest
  int64_t steps = 0, tensors = 0;           // compared
  int64_t logit_rows = 0, argmax_equal = 0;
};

// Tests: may change a tensor of the tested side, in its backend's memory, before it is compared and used.
using TensorFault = std::function<void(const std::string& name, int64_t step, const Tensor& tensor)>;

// Of the configs only device, dtype, threads and block_size count. `files` may be null with random_weights in both.
// Errors: as loading a model on either side.
VerifyReport verify(const ModelConfig& model, const SafetensorsFolder* files, const EngineConfig& reference,
                    const EngineConfig& tested, const TensorFault& fault = {});

}  // namespace penstock
