// What CUDA C++ gives to the code of kernels, for the device of device.h. Included ahead of it.
#pragma once
#include <cuda_runtime.h>

#include <cmath>
#include <cstring>
#include <type_traits>

#include "tests/cuda_on_cpu/device.h"

#undef __device__
#undef __global__
#undef __host__
#undef __shared__
#undef __align__
#undef __launch_bounds__
#undef __grid_constant__
#define __device__
#define __global__
#define __host__
#define __shared__ static  // blocks that have such memory run one after the other
#define __align__(bytes) alignas(bytes)
#define __launch_bounds__(...)
#define __grid_constant__
#define __CUDA_ARCH__ 900
#define cuda cuda_on_cpu  // the namespace: the real kernels are in the same program

#define threadIdx (::penstock::cuda_on_cpu::thread_index())
#define blockIdx (::penstock::cuda_on_cpu::block_index())
#define blockDim (::penstock::cuda_on_cpu::block_size())
#define gridDim (::penstock::cuda_on_cpu::grid_size())

namespace penstock::cuda_on_cpu {

inline uint3 thread_index() { return {device().current().number, 0, 0}; }
inline uint3 block_index() { return device().current().block->number; }
inline dim3 block_size() { return dim3(static_cast<unsigned>(device().threads())); }
inline dim3 grid_size() { return device().grid(); }

template <class To, class From>
To bits_as(const From& from) {
  static_assert(sizeof(To) <= sizeof(uint64_t) && sizeof(From) <= sizeof(uint64_t));
  uint64_t bits = 0;
  std::memcpy(&bits, &from, sizeof(From));
  To to;
  std::memcpy(&to, &bits, sizeof(To));
  return to;
}
// Each lane gets what from(lane) gave.
template <class T, class From>
T shuffled(const char* what, const T& value, From from) {
  return bits_as<T>(device().with_warp(what, bits_as<uint64_t>(value),
                                       [from](const auto& all, int lane) { return all[from(lane)]; }));
}
// Every lane gets what all give together.
template <class T, class Combine>
T combined(const char* what, T value, Combine combine) {
  return bits_as<T>(device().with_warp(what, bits_as<uint64_t>(value), [combine](const auto& all, int) {
    T result = bits_as<T>(all[0]);
    for (int i = 1; i < kLanes; ++i) result = combine(result, bits_as<T>(all[i]));
    return bits_as<uint64_t>(result);
  }));
}

}  // namespace penstock::cuda_on_cpu

// --- a warp's lanes; masks are those of all -------------------------------------------------------------------------

template <class T>
T __shfl_xor_sync(unsigned, T value, int lanes) {
  return penstock::cuda_on_cpu::shuffled("__shfl_xor_sync", value, [lanes](int lane) { return lane ^ lanes; });
}
template <class T>
T __shfl_up_sync(unsigned, T value, int lanes) {
  return penstock::cuda_on_cpu::shuffled("__shfl_up_sync", value,
                                         [lanes](int lane) { return lane < lanes ? lane : lane - lanes; });
}
template <class T>
T __shfl_sync(unsigned, T value, int source) {  // the same one for all
  return penstock::cuda_on_cpu::shuffled("__shfl_sync", value, [source](int) { return source; });
}
inline unsigned __ballot_sync(unsigned, bool value) {
  const unsigned own = value ? 1u << penstock::cuda_on_cpu::device().current().number % 32 : 0;
  return penstock::cuda_on_cpu::combined("__ballot_sync", own, [](unsigned a, unsigned b) { return a | b; });
}
inline unsigned __reduce_max_sync(unsigned, unsigned value) {
  return penstock::cuda_on_cpu::combined("__reduce_max_sync", value,
                                         [](unsigned a, unsigned b) { return a > b ? a : b; });
}
inline unsigned __reduce_min_sync(unsigned, unsigned value) {
  return penstock::cuda_on_cpu::combined("__reduce_min_sync", value,
                                         [](unsigned a, unsigned b) { return a < b ? a : b; });
}
inline unsigned __reduce_add_sync(unsigned, unsigned value) {
  return penstock::cuda_on_cpu::combined("__reduce_add_sync", value, [](unsigned a, unsigned b) { return a + b; });
}
inline void __syncwarp() {
  penstock::cuda_on_cpu::combined("__syncwarp", 0u, [](unsigned, unsigned) { return 0u; });
}

// --- a block's threads --------------------------------------------------------------------------------------------

inline void __syncthreads() { penstock::cuda_on_cpu::device().with_block(false); }
inline int __syncthreads_or(int value) { return penstock::cuda_on_cpu::device().with_block(value != 0) > 0; }
inline int __syncthreads_count(int value) { return penstock::cuda_on_cpu::device().with_block(value != 0); }

// --- one thread's -------------------------------------------------------------------------------------------------

inline int __popc(unsigned x) { return __builtin_popcount(x); }
inline int __ffs(int x) { return __builtin_ffs(x); }
inline unsigned __funnelshift_r(unsigned low, unsigned high, unsigned bits) {
  return static_cast<unsigned>((static_cast<uint64_t>(high) << 32 | low) >> bits % 32);
}
inline unsigned __float_as_uint(float x) { return penstock::cuda_on_cpu::bits_as<unsigned>(x); }
inline int __float_as_int(float x) { return penstock::cuda_on_cpu::bits_as<int>(x); }
inline float __uint_as_float(unsigned x) { return penstock::cuda_on_cpu::bits_as<float>(x); }
inline float __int_as_float(int x) { return penstock::cuda_on_cpu::bits_as<float>(x); }
inline double __hiloint2double(int high, int low) {
  return penstock::cuda_on_cpu::bits_as<double>(static_cast<uint64_t>(static_cast<unsigned>(high)) << 32 |
                                                static_cast<unsigned>(low));
}
inline unsigned __float2uint_rn(float x) { return x > 0 ? static_cast<unsigned>(std::llrint(x)) : 0; }
inline int __clz(int x) { return x == 0 ? 32 : __builtin_clz(static_cast<unsigned>(x)); }
inline float __fmul_rn(float a, float b) { return a * b; }  // compiled without contraction
inline float __fsub_rn(float a, float b) { return a - b; }
inline float __logf(float x) { return std::log(x); }

template <class A, class B>
std::common_type_t<A, B> min(A a, B b) {
  const std::common_type_t<A, B> x = a, y = b;
  return x < y ? x : y;
}
template <class A, class B>
std::common_type_t<A, B> max(A a, B b) {
  const std::common_type_t<A, B> x = a, y = b;
  return x < y ? y : x;
}
template <class T>
T atomicAdd(T* at, std::type_identity_t<T> value) {
  const T before = *at;
  *at = before + value;
  return before;
}
template <class T>
T atomicMax(T* at, std::type_identity_t<T> value) {
  const T before = *at;
  *at = max(before, value);
  return before;
}
