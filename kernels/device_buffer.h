// Owns a piece of a backend's memory. Move-only; a Tensor is a view into one.
#pragma once
#include <cstdint>
#include <functional>
#include <utility>

#include "kernels/tensor.h"

namespace penstock {

class DeviceBuffer {
 public:
  using Free = void (*)(void* data, int64_t bytes);

  DeviceBuffer() = default;
  DeviceBuffer(void* data, int64_t bytes, Free free) : data_(data), bytes_(bytes), free_(free) {}
  DeviceBuffer(DeviceBuffer&& other) noexcept { swap(other); }
  DeviceBuffer& operator=(DeviceBuffer&& other) noexcept {
    DeviceBuffer(std::move(other)).swap(*this);
    return *this;
  }
  ~DeviceBuffer() { if (data_) free_(data_, bytes_); }

  void* data() const { return data_; }
  int64_t bytes() const { return bytes_; }
  template <class T>
  T* as() const { return static_cast<T*>(data_); }
  Tensor matrix(DType dtype, int64_t rows, int64_t cols) const { return {data_, dtype, rows, cols, cols}; }

 private:
  void swap(DeviceBuffer& other) {
    std::swap(data_, other.data_);
    std::swap(bytes_, other.bytes_);
    std::swap(free_, other.free_);
  }
  void* data_ = nullptr;
  int64_t bytes_ = 0;
  Free free_ = nullptr;
};

}  // namespace penstock
