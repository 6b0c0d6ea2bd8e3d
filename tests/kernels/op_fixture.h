// A backend for one op's test, and arrays that live on it. Fresh memory holds NaN, so what an op forgets to write, or
// reads too far, shows.
#pragma once
#include <cstdlib>
#include <limits>
#include <memory>
#include <random>
#include <string_view>
#include <vector>

#include "kernels/backend.h"
#include "tests/support/catch.h"
#include "tests/support/compare.h"

namespace penstock {

constexpr double kUlp = 0x1p-24;  // half a unit in the last place of 1.0f
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInfinity = std::numeric_limits<float>::infinity();

// PENSTOCK_TEST_DEVICE: cpu (the default) or cuda.
inline bool on_cuda() {
  const char* device = std::getenv("PENSTOCK_TEST_DEVICE");
  return device && std::string_view(device) == "cuda";
}

inline std::unique_ptr<Backend> test_backend(int threads = 2) {
  if (on_cuda()) return make_backend({.device = DeviceKind::cuda, .dtype = DType::bf16, .poison_memory = true});
  return make_backend({.device = DeviceKind::cpu, .dtype = DType::f32, .threads = threads, .poison_memory = true});
}

inline std::vector<float> normal_values(size_t count, uint32_t seed, float deviation = 1) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0, deviation);
  std::vector<float> values(count);
  for (float& value : values) value = normal(random);
  return values;
}

template <class T>
class DeviceArray {
 public:
  DeviceArray(Backend& backend, size_t count)
      : backend_(backend), count_(count), buffer_(backend.allocate(static_cast<int64_t>(count * sizeof(T)))) {}
  DeviceArray(Backend& backend, const std::vector<T>& values) : DeviceArray(backend, values.size()) {
    backend.upload(buffer_.data(), values.data(), static_cast<int64_t>(count_ * sizeof(T)));
  }
  T* data() const { return buffer_.as<T>(); }
  std::vector<T> download() const {
    std::vector<T> values(count_);
    backend_.download(values.data(), buffer_.data(), static_cast<int64_t>(count_ * sizeof(T)));
    return values;
  }
  Tensor matrix(int64_t rows, int64_t cols) const { return buffer_.matrix(DType::f32, rows, cols); }

 private:
  Backend& backend_;
  size_t count_;
  DeviceBuffer buffer_;
};

template <class T>
std::vector<T> slice(const std::vector<T>& values, size_t begin, size_t count) {
  return {values.begin() + static_cast<ptrdiff_t>(begin), values.begin() + static_cast<ptrdiff_t>(begin + count)};
}

}  // namespace penstock
