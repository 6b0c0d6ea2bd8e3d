// Views: what the ops read and write. A view never owns and never frees (device_buffer.h owns).
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <source_location>
#include <string>

#include "kernels/error.h"

namespace penstock {

enum class DType : uint8_t { f32, f16, bf16, i32 };

constexpr int64_t dtype_bytes(DType dtype) { return dtype == DType::f32 || dtype == DType::i32 ? 4 : 2; }
constexpr const char* dtype_name(DType dtype) {
  switch (dtype) {
    case DType::f32: return "f32";
    case DType::f16: return "f16";
    case DType::bf16: return "bf16";
    case DType::i32: return "i32";
  }
  return "?";
}

// A row-major matrix [rows, cols] on the backend's device; row r starts at data + r * stride elements.
struct Tensor {
  void* data = nullptr;
  DType dtype = DType::f32;
  int64_t rows = 0, cols = 0;
  int64_t stride = 0;  // elements from one row to the next, >= cols

  // The first `count` rows, the rows and the columns [begin, begin + count).
  Tensor first_rows(int64_t count) const { return {data, dtype, count, cols, stride}; }
  Tensor row_range(int64_t begin, int64_t count) const {
    return {static_cast<char*>(data) + begin * stride * dtype_bytes(dtype), dtype, count, cols, stride};
  }
  Tensor columns(int64_t begin, int64_t count) const {
    return {static_cast<char*>(data) + begin * dtype_bytes(dtype), dtype, rows, count, stride};
  }
  template <class T>
  T* row(int64_t r) const { return static_cast<T*>(data) + r * stride; }
};

// A dimension that takes its value from the first tensor that is checked against it (style.md, habit 9).
class Dim {
 public:
  explicit Dim(const char* name, int64_t value = -1) : name_(name), value_(value) {}
  operator int64_t() const { return value_; }
  void bind(int64_t value, const char* tensor, std::source_location at) {
    if (value_ < 0) value_ = value;
    if (value_ != value)
      throw Error(ExitCode::internal, std::string(at.function_name()) + ": " + tensor + " has " + name_ + " = " +
                                          std::to_string(value) + ", expected " + std::to_string(value_));
  }

 private:
  const char* name_;
  int64_t value_;
};

inline void expect(const char* name, const Tensor& x, Dim& rows, Dim& cols,
                   std::source_location at = std::source_location::current()) {
  rows.bind(x.rows, name, at);
  cols.bind(x.cols, name, at);
}

// bf16 <-> f32 on the host: round to nearest, ties to even; NaN stays NaN.
inline float bf16_to_f32(uint16_t bits) {
  uint32_t wide = static_cast<uint32_t>(bits) << 16;
  float value;
  std::memcpy(&value, &wide, 4);
  return value;
}
inline uint16_t f32_to_bf16(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, 4);
  if ((bits & 0x7FFFFFFF) > 0x7F800000) return static_cast<uint16_t>((bits >> 16) | 0x40);
  return static_cast<uint16_t>((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16);
}
inline float f16_to_f32(uint16_t bits) {
  uint32_t sign = static_cast<uint32_t>(bits & 0x8000) << 16, exponent = (bits >> 10) & 31, mantissa = bits & 0x3FF;
  uint32_t wide;
  if (exponent == 31) {
    wide = 0x7F800000 | (mantissa << 13);
  } else if (exponent != 0) {
    wide = ((exponent + 112) << 23) | (mantissa << 13);
  } else {  // zero and subnormals: mantissa x 2^-24, exact in f32
    float value = static_cast<float>(mantissa) * 0x1p-24f;
    std::memcpy(&wide, &value, 4);
  }
  wide |= sign;
  float value;
  std::memcpy(&value, &wide, 4);
  return value;
}

// Element `i` of host data in a checkpoint's dtype. Errors: Error(internal) for i32.
inline float element_to_f32(const void* data, DType dtype, int64_t i) {
  switch (dtype) {
    case DType::f32: return static_cast<const float*>(data)[i];
    case DType::f16: return f16_to_f32(static_cast<const uint16_t*>(data)[i]);
    case DType::bf16: return bf16_to_f32(static_cast<const uint16_t*>(data)[i]);
    case DType::i32: break;
  }
  throw Error(ExitCode::internal, "i32 is not a dtype of weights");
}

}  // namespace penstock
