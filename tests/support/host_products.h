// A GPU's backend whose products are made on the host, for tools that cannot follow a library's kernels: racecheck and
// synccheck fail on cuBLASLt's, and initcheck does not see what they write.
#pragma once
#include <memory>
#include <utility>
#include <vector>

#include "engine/step/profiling_backend.h"
#include "tests/support/catch.h"

namespace penstock::test {

class HostProducts : public ProfilingBackend {
 public:
  explicit HostProducts(std::unique_ptr<Backend> inner) : ProfilingBackend(std::move(inner)) {}

  void matmul(const Matmul& op) override {
    REQUIRE(!op.accumulate);
    const auto [outs, ins] = std::pair{op.weight.out_features, op.weight.in_features};
    const std::vector<float> weight = values(op.weight.storage.data(), op.weight.dtype, outs * ins);
    std::vector<float> bias(outs, 0.0f);
    if (op.bias) bias = values(op.bias, DType::f32, outs);
    for (int64_t row = 0; row < op.x.rows; ++row) {
      const std::vector<float> x = values(address(op.x, row), op.x.dtype, ins);
      std::vector<float> sums = bias;
      for (int64_t o = 0; o < outs; ++o)
        for (int64_t i = 0; i < ins; ++i) sums[o] += weight[o * ins + i] * x[i];
      store(address(op.out, row), op.out.dtype, sums);
    }
  }
  void gated_matmul(const GatedMatmul& op) override { Backend::gated_matmul(op); }

 private:
  static void* address(const Tensor& tensor, int64_t row) {
    return static_cast<char*>(tensor.data) + row * tensor.stride * dtype_bytes(tensor.dtype);
  }
  std::vector<float> values(const void* device, DType dtype, int64_t count) {
    std::vector<char> raw(count * dtype_bytes(dtype));
    download(raw.data(), device, static_cast<int64_t>(raw.size()));
    std::vector<float> result(count);
    for (int64_t i = 0; i < count; ++i) result[i] = element_to_f32(raw.data(), dtype, i);
    return result;
  }
  void store(void* device, DType dtype, const std::vector<float>& numbers) {
    if (dtype == DType::f32) return upload(device, numbers.data(), static_cast<int64_t>(numbers.size()) * 4);
    std::vector<uint16_t> raw;
    for (float number : numbers) raw.push_back(f32_to_bf16(number));
    upload(device, raw.data(), static_cast<int64_t>(raw.size()) * 2);
  }
};

}  // namespace penstock::test
