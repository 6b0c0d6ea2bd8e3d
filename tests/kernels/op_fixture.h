// A backend for one op's test, and arrays that live on it. Fresh memory holds NaN, so what an op forgets to write, or
// reads too far, shows.
//
// One body serves every backend. It asks the backend for what it takes (dtypes, widths, block sizes), rounds its inputs
// to the activations' dtype, computes the reference in double from the rounded ones, and allows for the rounding of the
// output. Cases about the host's code alone carry the tag [cpu]; scripts/check_gpu.sh leaves them out by that name.
#pragma once
#include <algorithm>
#include <cstdlib>
#include <initializer_list>
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

// PENSTOCK_TEST_DEVICE: cpu (the default), cuda, or cuda_on_cpu, the CPU with a GPU's sampler (tests/cuda_on_cpu), for
// the cases with the tags [sampler] and [candidates], which are quick enough. PENSTOCK_TEST_POISON=off leaves fresh
// memory as it is, for tools that look for what is read before it is written.
inline std::string_view test_device() {
  const char* device = std::getenv("PENSTOCK_TEST_DEVICE");
  return device ? device : "cpu";
}
inline bool on_cuda() { return test_device() == "cuda"; }
inline bool poisons() {
  const char* poison = std::getenv("PENSTOCK_TEST_POISON");
  return !(poison && std::string_view(poison) == "off");
}

// PENSTOCK_TEST_KERNELS=generic: none of the kernels that only some GPUs can run.
inline KernelChoice test_kernels() {
  const char* kernels = std::getenv("PENSTOCK_TEST_KERNELS");
  return kernels && std::string_view(kernels) == "generic" ? KernelChoice::generic : KernelChoice::automatic;
}

#ifdef PENSTOCK_CUDA_ON_CPU
std::unique_ptr<Backend> backend_with_gpu_sampler(const BackendOptions& options);
#else
inline std::unique_ptr<Backend> backend_with_gpu_sampler(const BackendOptions&) {
  throw Error(ExitCode::usage, "tests/cuda_on_cpu is not in this build");
}
#endif

inline std::unique_ptr<Backend> cuda_backend(int index = 0) {
  if (test_device() == "cuda_on_cpu")
    return backend_with_gpu_sampler(
        {.dtype = DType::f32, .threads = 1, .kernels = test_kernels(), .poison_memory = true});
  return make_backend({.device = DeviceKind::cuda,
                       .index = index,
                       .dtype = DType::bf16,
                       .kernels = test_kernels(),
                       .poison_memory = poisons()});
}
inline std::unique_ptr<Backend> cpu_backend(int threads = 2) {
  return make_backend({.device = DeviceKind::cpu, .dtype = DType::f32, .threads = threads, .poison_memory = poisons()});
}
inline std::unique_ptr<Backend> test_backend(int threads = 2) {
  return test_device() == "cpu" ? cpu_backend(threads) : cuda_backend();
}

// --- what a backend takes (backend.h, "Sizes") ----------------------------------------------------------------------

inline bool has_bf16_activations(const Backend& backend) { return backend.activation_dtype() == DType::bf16; }

// `width`, or the next multiple of 8 where only those are taken.
inline int64_t width_for(const Backend& backend, int64_t width) {
  return has_bf16_activations(backend) ? (width + 7) / 8 * 8 : width;
}
inline std::vector<int64_t> block_sizes(const Backend& backend) {
  return has_bf16_activations(backend) ? std::vector<int64_t>{16, 32, 64, 128}
                                       : std::vector<int64_t>{1, 3, 16, 32, 64, 128};
}
// `size`, or the smallest that is taken.
inline int64_t block_size_for(const Backend& backend, int64_t size) {
  return has_bf16_activations(backend) ? std::max<int64_t>(size, 16) : size;
}
inline std::vector<DType> cache_dtypes(const Backend& backend) {
  return has_bf16_activations(backend) ? std::vector<DType>{DType::bf16} : std::vector<DType>{DType::f32, DType::bf16};
}

constexpr double kBf16Roundoff = 0x1p-8;  // of a value rounded once, at most

// What rounding an activation costs, as a share of it.
inline double roundoff(const Backend& backend) { return has_bf16_activations(backend) ? kBf16Roundoff : 0; }
// The relative error of an op that computes to `in_f32` in f32 and then rounds its result. GPUs have faster functions
// whose errors are some tens of ulps: 2^-16 is more than any of them, and is lost in the rounding.
inline double tolerance(const Backend& backend, double in_f32) {
  return has_bf16_activations(backend) ? kBf16Roundoff + std::max(in_f32, 0x1p-16) : in_f32;
}

inline float to_bf16(float value) { return bf16_to_f32(f32_to_bf16(value)); }
// Values as the backend's activations, or a cache of this dtype, hold them.
inline std::vector<float> rounded(DType dtype, std::vector<float> values) {
  if (dtype == DType::bf16) std::ranges::transform(values, values.begin(), to_bf16);
  return values;
}
inline std::vector<float> rounded(const Backend& backend, std::vector<float> values) {
  return rounded(backend.activation_dtype(), std::move(values));
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
  DeviceArray(Backend& backend, const std::vector<T>& values) : DeviceArray(backend, values.size()) { upload(values); }
  T* data() const { return buffer_.as<T>(); }
  void upload(const std::vector<T>& values) {
    backend_.upload(buffer_.data(), values.data(), static_cast<int64_t>(count_ * sizeof(T)));
  }
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

// Numbers of the backend's activation dtype, or of another; f32 on the host, rounded on their way to the device.
class DeviceNumbers {
 public:
  DeviceNumbers(Backend& backend, DType dtype, size_t count)
      : backend_(backend),
        dtype_(dtype),
        count_(count),
        buffer_(backend.allocate(static_cast<int64_t>(count) * dtype_bytes(dtype))) {}
  DeviceNumbers(Backend& backend, DType dtype, const std::vector<float>& values)
      : DeviceNumbers(backend, dtype, values.size()) {
    upload(values);
  }
  DeviceNumbers(Backend& backend, size_t count) : DeviceNumbers(backend, backend.activation_dtype(), count) {}
  DeviceNumbers(Backend& backend, const std::vector<float>& values)
      : DeviceNumbers(backend, backend.activation_dtype(), values) {}

  void* data() const { return buffer_.data(); }
  size_t count() const { return count_; }
  Tensor matrix(int64_t rows, int64_t cols) const { return buffer_.matrix(dtype_, rows, cols); }
  // Rows with something between them.
  Tensor matrix(int64_t rows, int64_t cols, int64_t stride) const { return matrix(rows, stride).columns(0, cols); }

  void upload(const std::vector<float>& values) {
    if (dtype_ == DType::f32) return backend_.upload(buffer_.data(), values.data(), buffer_.bytes());
    std::vector<uint16_t> bits(count_);
    std::ranges::transform(values, bits.begin(), f32_to_bf16);
    backend_.upload(buffer_.data(), bits.data(), buffer_.bytes());
  }
  std::vector<float> download() const {
    std::vector<float> values(count_);
    if (dtype_ == DType::f32) {
      backend_.download(values.data(), buffer_.data(), buffer_.bytes());
      return values;
    }
    std::vector<uint16_t> bits(count_);
    backend_.download(bits.data(), buffer_.data(), buffer_.bytes());
    std::ranges::transform(bits, values.begin(), bf16_to_f32);
    return values;
  }

 private:
  Backend& backend_;
  DType dtype_;
  size_t count_;
  DeviceBuffer buffer_;
};

template <class T>
std::vector<T> slice(const std::vector<T>& values, size_t begin, size_t count) {
  return {values.begin() + static_cast<ptrdiff_t>(begin), values.begin() + static_cast<ptrdiff_t>(begin + count)};
}

}  // namespace penstock
