// Times ops of a GPU on random data that does not stay in its cache, each in a graph of its own.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "engine/engine_config.h"
#include "engine/step/op_work.h"
#include "kernels/backend.h"

namespace penstock {

class ColdBench {
 public:
  static constexpr ElementBytes kBf16{2, 2};

  // Prints the device's roofline, and the head of the table.
  explicit ColdBench(const EngineConfig& config);

  // A line of the table: of one call of `work`; call(i) takes copy i of its operands.
  void row(const std::string& op, const std::string& shape, const Work& work, int64_t copies,
           const std::function<void(int64_t)>& call);
  // So many operands of `bytes` each are more than the cache holds.
  static int64_t copies_of(double bytes);

  // Random operands, bf16; rows are kept until forget_rows().
  Tensor random_rows(int64_t rows, int64_t cols);
  std::vector<Tensor> random_rows(int64_t count, int64_t rows, int64_t cols);
  void forget_rows() { kept_.clear(); }
  Weight random_weight(int64_t out_features, int64_t in_features);
  DeviceBuffer random_floats(int64_t count, float scale);
  // `count` of the numbers below `range`, each at most once while they last.
  DeviceBuffer shuffled(int64_t range, int64_t count);

  Backend& backend() { return *backend_; }

 private:
  double seconds_of(const std::function<void(int64_t)>& call, int64_t copies);
  DeviceBuffer random_memory(int64_t values);

  std::unique_ptr<Backend> backend_;
  std::vector<uint16_t> tile_;
  std::vector<DeviceBuffer> kept_;
  Roofline roof_;
};

}  // namespace penstock
