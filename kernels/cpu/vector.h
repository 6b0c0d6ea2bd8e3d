// The vectors of the instruction set being compiled for: kLanes floats in one register. Everything here lives in the
// set's own namespace, so that the linker never mixes one set's code with another's.
//
// An op that sums in kLanes lanes has one order of summation for each instruction set, whatever the batch.
#pragma once
#include <cstdint>
#include <cstring>

#if defined(__x86_64__)
// gcc 12 takes the intrinsics' own undefined registers for mistakes (GCC PR 105593).
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#include <immintrin.h>
#pragma GCC diagnostic pop
#endif

namespace penstock::cpu::PENSTOCK_ISA {

#if defined(__AVX512F__)
constexpr int kLanes = 16;
#elif defined(__AVX2__)
constexpr int kLanes = 8;
#else
constexpr int kLanes = 4;
#endif

using Vec = float __attribute__((vector_size(kLanes * 4)));
using IntVec = int32_t __attribute__((vector_size(kLanes * 4)));  // also what comparisons give: 0 or -1
using UintVec = uint32_t __attribute__((vector_size(kLanes * 4)));
using Quad = float __attribute__((vector_size(16)));

inline Vec splat(float x) { return x - Vec{}; }  // x - 0 keeps -0 and NaN
inline UintVec splat_bits(uint32_t x) { return x + UintVec{}; }

template <class To, class From>
inline To bit_cast_to(From from) {
  static_assert(sizeof(To) == sizeof(From));
  To to;
  std::memcpy(&to, &from, sizeof to);
  return to;
}

inline Vec load(const float* p) {
  Vec v;
  std::memcpy(&v, p, sizeof v);
  return v;
}
inline void store(float* p, Vec v) { std::memcpy(p, &v, sizeof v); }

// bf16 in memory, f32 in registers: widened exactly, rounded to nearest even. NaN stays NaN.
inline Vec load(const uint16_t* p) {
  using Half = uint16_t __attribute__((vector_size(kLanes * 2)));
  Half h;
  std::memcpy(&h, p, sizeof h);
  return bit_cast_to<Vec>(__builtin_convertvector(h, UintVec) << 16);
}
inline void store(uint16_t* p, Vec v) {
  UintVec bits = bit_cast_to<UintVec>(v);
  UintVec rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16;
  UintVec quiet = (bits >> 16) | 0x40;
  UintVec picked = (bits & 0x7FFFFFFF) > 0x7F800000 ? quiet : rounded;
  using Half = uint16_t __attribute__((vector_size(kLanes * 2)));
  Half h = __builtin_convertvector(picked, Half);
  std::memcpy(p, &h, sizeof h);
}

// The first n < kLanes elements; the other lanes get `fill`, and nothing behind them is touched.
template <class T>
inline Vec load_first(const T* p, int64_t n, float fill = 0) {
  float lanes[kLanes];
  T part[kLanes] = {};
  std::memcpy(part, p, n * sizeof(T));
  store(lanes, load(part));
  for (int64_t i = n; i < kLanes; i++) lanes[i] = fill;
  return load(lanes);
}
template <class T>
inline void store_first(T* p, Vec v, int64_t n) {
  T part[kLanes];
  store(part, v);
  std::memcpy(p, part, n * sizeof(T));
}

inline IntVec lane_index() {
  IntVec index;
  for (int i = 0; i < kLanes; i++) index[i] = i;
  return index;
}

inline Vec max(Vec a, Vec b) { return a > b ? a : b; }
inline float larger(float a, float b) { return a > b ? a : b; }
inline int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }
inline int64_t larger(int64_t a, int64_t b) { return a > b ? a : b; }
inline int64_t divide_up(int64_t a, int64_t b) { return (a + b - 1) / b; }

// How many rows of `cols` values pay for waking a second worker (about a microsecond) in an op that streams.
inline int64_t worthwhile_rows(int64_t cols) { return divide_up(8192, larger(cols, int64_t{1})); }

// Across the lanes, as a tree of a fixed shape.
inline float sum(Vec v) {
  float lanes[kLanes];
  store(lanes, v);
  for (int width = kLanes / 2; width > 0; width /= 2)
    for (int i = 0; i < width; i++) lanes[i] += lanes[i + width];
  return lanes[0];
}
inline Vec min(Vec a, Vec b) { return a < b ? a : b; }
inline float max(Vec v) {
  float lanes[kLanes];
  store(lanes, v);
  for (int width = kLanes / 2; width > 0; width /= 2)
    for (int i = 0; i < width; i++) lanes[i] = larger(lanes[i], lanes[i + width]);
  return lanes[0];
}
inline bool any(IntVec mask) {
#if defined(__AVX512F__)
  return _mm512_movepi32_mask(bit_cast_to<__m512i>(mask)) != 0;
#elif defined(__AVX2__)
  return _mm256_movemask_ps(bit_cast_to<__m256>(mask)) != 0;
#elif defined(__x86_64__)
  return _mm_movemask_ps(bit_cast_to<__m128>(mask)) != 0;
#else
  int32_t seen = 0;
  for (int i = 0; i < kLanes; i++) seen |= mask[i];
  return seen != 0;
#endif
}

// e^x to about 1 ulp; 0 below the smallest normal number, infinity above the largest; NaN stays NaN.
inline Vec exp(Vec x) {
  constexpr float kLowest = -87.33654f, kHighest = 88.72283f;
  Vec clamped = x < kLowest ? splat(kLowest) : x;
  clamped = clamped > kHighest ? splat(kHighest) : clamped;
  const Vec magic = splat(0x1.8p23f);  // adding it rounds to an integer, which then sits in the low bits
  Vec shifted = clamped * 1.44269504f + magic;
  Vec n = shifted - magic;
  Vec r = clamped - n * 0x1.62e4p-1f;  // ln 2 in two parts, the first short enough for n times it to be exact
  r = r - n * 0x1.7f7d1cp-20f;
  Vec p = splat(1.9875691500e-4f);
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * (r * r) + r + 1.0f;
  // 2^n in two factors: n reaches 128, and -126 is the last exponent of a normal number.
  IntVec exponent = bit_cast_to<IntVec>(shifted) - bit_cast_to<IntVec>(magic);
  IntVec half = exponent >> 1;
  Vec scale0 = bit_cast_to<Vec>((half + 127) << 23), scale1 = bit_cast_to<Vec>((exponent - half + 127) << 23);
  p = p * scale0 * scale1;
  p = x < kLowest ? Vec{} : p;
  return x > kHighest ? splat(__builtin_inff()) : p;
}

// Natural logarithm of a positive normal number to about 1 ulp.
inline Vec log(Vec x) {
  // x = 2^e (1 + f) with 1 + f in [sqrt(1/2), sqrt(2))
  IntVec bits = bit_cast_to<IntVec>(x);
  IntVec e = (bits - 0x3F3504F3) >> 23;
  Vec f = bit_cast_to<Vec>(bits - (e << 23)) - 1.0f;
  Vec n = __builtin_convertvector(e, Vec);
  Vec p = splat(7.0376836292e-2f);
  p = p * f - 1.1514610310e-1f;
  p = p * f + 1.1676998740e-1f;
  p = p * f - 1.2420140846e-1f;
  p = p * f + 1.4249322787e-1f;
  p = p * f - 1.6668057665e-1f;
  p = p * f + 2.0000714765e-1f;
  p = p * f - 2.4999993993e-1f;
  p = p * f + 3.3333331174e-1f;
  Vec square = f * f;
  Vec tail = p * f * square - n * 2.12194440e-4f - square * 0.5f;
  return f + tail + n * 0.693359375f;
}

// tanh to about 8 ulp, small arguments included; NaN stays NaN.
inline Vec tanh(Vec x) {
  Vec square = x * x;
  Vec small =
      x + x * square * (-0.33333334f + square * (0.13333334f + square * (-0.053968254f + square * 0.021869488f)));
  Vec large = 1.0f - 2.0f / (exp(x + x) + 1.0f);
  return square < 0.0625f ? small : large;
}

// Writes the lanes that the mask picks to out, close together, and rubbish behind them: kLanes elements in all. Returns
// how many were picked.
template <class T>
inline int compress(T* out, IntVec mask, IntVec v) {
  static_assert(sizeof(T) == 4);
#if defined(__AVX512F__)
  __mmask16 picked = _mm512_movepi32_mask(bit_cast_to<__m512i>(mask));
  _mm512_storeu_si512(out, _mm512_maskz_compress_epi32(picked, bit_cast_to<__m512i>(v)));
  return __builtin_popcount(picked);
#else
  int32_t picks[kLanes], lanes[kLanes];
  std::memcpy(picks, &mask, sizeof mask);
  std::memcpy(lanes, &v, sizeof v);
  int count = 0;
  for (int i = 0; i < kLanes; i++) {
    std::memcpy(out + count, lanes + i, 4);
    count -= picks[i];
  }
  return count;
#endif
}

// Four vectors as 4x4 matrices, one in each 128-bit part, all transposed.
inline void transpose_quads(Vec& a, Vec& b, Vec& c, Vec& d) {
#if defined(__AVX512F__)
  __m512d ab_low = _mm512_castps_pd(_mm512_unpacklo_ps(a, b)), ab_high = _mm512_castps_pd(_mm512_unpackhi_ps(a, b));
  __m512d cd_low = _mm512_castps_pd(_mm512_unpacklo_ps(c, d)), cd_high = _mm512_castps_pd(_mm512_unpackhi_ps(c, d));
  a = _mm512_castpd_ps(_mm512_unpacklo_pd(ab_low, cd_low));
  b = _mm512_castpd_ps(_mm512_unpackhi_pd(ab_low, cd_low));
  c = _mm512_castpd_ps(_mm512_unpacklo_pd(ab_high, cd_high));
  d = _mm512_castpd_ps(_mm512_unpackhi_pd(ab_high, cd_high));
#elif defined(__AVX2__)
  __m256d ab_low = _mm256_castps_pd(_mm256_unpacklo_ps(a, b)), ab_high = _mm256_castps_pd(_mm256_unpackhi_ps(a, b));
  __m256d cd_low = _mm256_castps_pd(_mm256_unpacklo_ps(c, d)), cd_high = _mm256_castps_pd(_mm256_unpackhi_ps(c, d));
  a = _mm256_castpd_ps(_mm256_unpacklo_pd(ab_low, cd_low));
  b = _mm256_castpd_ps(_mm256_unpackhi_pd(ab_low, cd_low));
  c = _mm256_castpd_ps(_mm256_unpacklo_pd(ab_high, cd_high));
  d = _mm256_castpd_ps(_mm256_unpackhi_pd(ab_high, cd_high));
#else
  Vec ab_low = __builtin_shuffle(a, b, IntVec{0, 4, 1, 5}), ab_high = __builtin_shuffle(a, b, IntVec{2, 6, 3, 7});
  Vec cd_low = __builtin_shuffle(c, d, IntVec{0, 4, 1, 5}), cd_high = __builtin_shuffle(c, d, IntVec{2, 6, 3, 7});
  a = __builtin_shuffle(ab_low, cd_low, IntVec{0, 1, 4, 5});
  b = __builtin_shuffle(ab_low, cd_low, IntVec{2, 3, 6, 7});
  c = __builtin_shuffle(ab_high, cd_high, IntVec{0, 1, 4, 5});
  d = __builtin_shuffle(ab_high, cd_high, IntVec{2, 3, 6, 7});
#endif
}

inline Quad load_quad(const float* p) {
  Quad q;
  std::memcpy(&q, p, sizeof q);
  return q;
}
inline Quad load_quad(const uint16_t* p) {
  using Half = uint16_t __attribute__((vector_size(8)));
  using Wide = uint32_t __attribute__((vector_size(16)));
  Half h;
  std::memcpy(&h, p, sizeof h);
  return bit_cast_to<Quad>(__builtin_convertvector(h, Wide) << 16);
}

// The four elements at offset of rows[0], rows[4], rows[8], …: one 128-bit part each.
template <class T>
inline Vec load_every_fourth(const T* const* rows, int64_t offset) {
#if defined(__AVX512F__)
  __m256 low =
      _mm256_insertf128_ps(_mm256_castps128_ps256(load_quad(rows[0] + offset)), load_quad(rows[4] + offset), 1);
  __m256 high =
      _mm256_insertf128_ps(_mm256_castps128_ps256(load_quad(rows[8] + offset)), load_quad(rows[12] + offset), 1);
  return _mm512_insertf32x8(_mm512_castps256_ps512(low), high, 1);
#elif defined(__AVX2__)
  return _mm256_insertf128_ps(_mm256_castps128_ps256(load_quad(rows[0] + offset)), load_quad(rows[4] + offset), 1);
#else
  return load_quad(rows[0] + offset);
#endif
}

// 32 x 32 -> 64 bits in every lane.
struct WideProduct {
  UintVec low, high;
};
inline WideProduct multiply_wide(UintVec a, uint32_t b) {
#if defined(__AVX512F__)
  __m512i x = bit_cast_to<__m512i>(a), y = _mm512_set1_epi32(static_cast<int>(b));
  __m512i even = _mm512_mul_epu32(x, y), odd = _mm512_mul_epu32(_mm512_srli_epi64(x, 32), y);
  __m512i high = _mm512_mask_blend_epi32(0xAAAA, _mm512_srli_epi64(even, 32), odd);
  return {a * b, bit_cast_to<UintVec>(high)};
#elif defined(__AVX2__)
  __m256i x = bit_cast_to<__m256i>(a), y = _mm256_set1_epi32(static_cast<int>(b));
  __m256i even = _mm256_mul_epu32(x, y), odd = _mm256_mul_epu32(_mm256_srli_epi64(x, 32), y);
  __m256i high = _mm256_blend_epi32(_mm256_srli_epi64(even, 32), odd, 0xAA);
  return {a * b, bit_cast_to<UintVec>(high)};
#else
  UintVec high;
  for (int i = 0; i < kLanes; i++) high[i] = static_cast<uint32_t>((static_cast<uint64_t>(a[i]) * b) >> 32);
  return {a * b, high};
#endif
}

}  // namespace penstock::cpu::PENSTOCK_ISA
