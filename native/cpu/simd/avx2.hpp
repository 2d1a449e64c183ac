#pragma once
#include <immintrin.h>

#include "cpu/simd/half.hpp"

namespace warpweft::cpu::WW_ISA {

inline constexpr int kWidth = 8;
struct F32 { __m256 v; };
struct I32 { __m256i v; };
struct M32 { __m256 v; };

// All-ones in the first n lanes: a window into eight ones followed by eight zeros.
WW_INLINE __m256i firstLanes(int64_t n) {
  alignas(32) static constexpr int32_t window[16] = {-1, -1, -1, -1, -1, -1, -1, -1};
  return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(window + 8 - (n > 8 ? 8 : n)));
}

WW_INLINE F32 splat(float x) { return {_mm256_set1_ps(x)}; }
WW_INLINE F32 zero() { return {_mm256_setzero_ps()}; }
WW_INLINE F32 iota() { return {_mm256_setr_ps(0, 1, 2, 3, 4, 5, 6, 7)}; }
WW_INLINE I32 splatInt(int32_t x) { return {_mm256_set1_epi32(x)}; }

WW_INLINE F32 widenBf16(__m128i h) { return {_mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(h), 16))}; }
// AVX2 has no masked 16-bit access: a short copy through the stack, off the hot path.
WW_INLINE __m128i loadHalves(const void* p, int64_t n) {
  uint16_t lanes[8] = {};
  std::memcpy(lanes, p, static_cast<size_t>(n > 8 ? 8 : n) * 2);
  return _mm_loadu_si128(reinterpret_cast<const __m128i*>(lanes));
}
WW_INLINE void storeHalves(void* p, __m128i h, int64_t n) {
  uint16_t lanes[8];
  _mm_storeu_si128(reinterpret_cast<__m128i*>(lanes), h);
  std::memcpy(p, lanes, static_cast<size_t>(n > 8 ? 8 : n) * 2);
}

WW_INLINE F32 load(const float* p) { return {_mm256_loadu_ps(p)}; }
WW_INLINE F32 load(const bf16* p) { return widenBf16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))); }
WW_INLINE F32 load(const f16* p) { return {_mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)))}; }
WW_INLINE F32 loadPartial(const float* p, int64_t n) { return {_mm256_maskload_ps(p, firstLanes(n))}; }
WW_INLINE F32 loadPartial(const bf16* p, int64_t n) { return widenBf16(loadHalves(p, n)); }
WW_INLINE F32 loadPartial(const f16* p, int64_t n) { return {_mm256_cvtph_ps(loadHalves(p, n))}; }

WW_INLINE __m128i roundBf16(F32 x) {
  const __m256i u = _mm256_castps_si256(x.v), high = _mm256_srli_epi32(u, 16);
  const __m256i odd = _mm256_and_si256(high, _mm256_set1_epi32(1));
  const __m256i rounded = _mm256_srli_epi32(_mm256_add_epi32(u, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7FFF))), 16);
  const __m256i quiet = _mm256_or_si256(high, _mm256_set1_epi32(0x40));
  const __m256i nan = _mm256_castps_si256(_mm256_cmp_ps(x.v, x.v, _CMP_UNORD_Q));
  const __m256i result = _mm256_blendv_epi8(rounded, quiet, nan);
  return _mm_packus_epi32(_mm256_castsi256_si128(result), _mm256_extracti128_si256(result, 1));
}
WW_INLINE __m128i roundF16(F32 x) { return _mm256_cvtps_ph(x.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
WW_INLINE void store(float* p, F32 x) { _mm256_storeu_ps(p, x.v); }
WW_INLINE void store(bf16* p, F32 x) { _mm_storeu_si128(reinterpret_cast<__m128i*>(p), roundBf16(x)); }
WW_INLINE void store(f16* p, F32 x) { _mm_storeu_si128(reinterpret_cast<__m128i*>(p), roundF16(x)); }
WW_INLINE void storePartial(float* p, F32 x, int64_t n) { _mm256_maskstore_ps(p, firstLanes(n), x.v); }
WW_INLINE void storePartial(bf16* p, F32 x, int64_t n) { storeHalves(p, roundBf16(x), n); }
WW_INLINE void storePartial(f16* p, F32 x, int64_t n) { storeHalves(p, roundF16(x), n); }

WW_INLINE F32 operator+(F32 a, F32 b) { return {_mm256_add_ps(a.v, b.v)}; }
WW_INLINE F32 operator-(F32 a, F32 b) { return {_mm256_sub_ps(a.v, b.v)}; }
WW_INLINE F32 operator*(F32 a, F32 b) { return {_mm256_mul_ps(a.v, b.v)}; }
WW_INLINE F32 operator/(F32 a, F32 b) { return {_mm256_div_ps(a.v, b.v)}; }
WW_INLINE F32 fma(F32 a, F32 b, F32 c) { return {_mm256_fmadd_ps(a.v, b.v, c.v)}; }
WW_INLINE F32 fnma(F32 a, F32 b, F32 c) { return {_mm256_fnmadd_ps(a.v, b.v, c.v)}; }
WW_INLINE F32 max(F32 a, F32 b) { return {_mm256_max_ps(a.v, b.v)}; }
WW_INLINE F32 min(F32 a, F32 b) { return {_mm256_min_ps(a.v, b.v)}; }
WW_INLINE F32 sqrt(F32 a) { return {_mm256_sqrt_ps(a.v)}; }
WW_INLINE F32 abs(F32 a) { return {_mm256_andnot_ps(_mm256_set1_ps(-0.f), a.v)}; }
WW_INLINE F32 floor(F32 a) { return {_mm256_floor_ps(a.v)}; }
WW_INLINE F32 round(F32 a) { return {_mm256_round_ps(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)}; }

WW_INLINE M32 lt(F32 a, F32 b) { return {_mm256_cmp_ps(a.v, b.v, _CMP_LT_OQ)}; }
WW_INLINE M32 le(F32 a, F32 b) { return {_mm256_cmp_ps(a.v, b.v, _CMP_LE_OQ)}; }
WW_INLINE M32 gt(F32 a, F32 b) { return {_mm256_cmp_ps(a.v, b.v, _CMP_GT_OQ)}; }
WW_INLINE M32 ge(F32 a, F32 b) { return {_mm256_cmp_ps(a.v, b.v, _CMP_GE_OQ)}; }
WW_INLINE M32 eq(F32 a, F32 b) { return {_mm256_cmp_ps(a.v, b.v, _CMP_EQ_OQ)}; }
WW_INLINE M32 ne(F32 a, F32 b) { return {_mm256_cmp_ps(a.v, b.v, _CMP_NEQ_UQ)}; }
WW_INLINE M32 isNan(F32 a) { return {_mm256_cmp_ps(a.v, a.v, _CMP_UNORD_Q)}; }
WW_INLINE F32 select(M32 m, F32 a, F32 b) { return {_mm256_blendv_ps(b.v, a.v, m.v)}; }
WW_INLINE F32 andMask(M32 m, F32 a) { return {_mm256_and_ps(m.v, a.v)}; }
WW_INLINE bool any(M32 m) { return _mm256_movemask_ps(m.v) != 0; }
WW_INLINE bool all(M32 m) { return _mm256_movemask_ps(m.v) == 0xFF; }

WW_INLINE float sum(F32 a) {
  __m128 s = _mm_add_ps(_mm256_castps256_ps128(a.v), _mm256_extractf128_ps(a.v, 1));
  s = _mm_add_ps(s, _mm_movehl_ps(s, s));
  return _mm_cvtss_f32(_mm_add_ss(s, _mm_shuffle_ps(s, s, 1)));
}
WW_INLINE float maxOf(F32 a) {
  __m128 s = _mm_max_ps(_mm256_castps256_ps128(a.v), _mm256_extractf128_ps(a.v, 1));
  s = _mm_max_ps(s, _mm_movehl_ps(s, s));
  return _mm_cvtss_f32(_mm_max_ss(s, _mm_shuffle_ps(s, s, 1)));
}
WW_INLINE float minOf(F32 a) {
  __m128 s = _mm_min_ps(_mm256_castps256_ps128(a.v), _mm256_extractf128_ps(a.v, 1));
  s = _mm_min_ps(s, _mm_movehl_ps(s, s));
  return _mm_cvtss_f32(_mm_min_ss(s, _mm_shuffle_ps(s, s, 1)));
}

WW_INLINE I32 toInt(F32 a) { return {_mm256_cvtps_epi32(a.v)}; }
WW_INLINE F32 toFloat(I32 a) { return {_mm256_cvtepi32_ps(a.v)}; }
WW_INLINE I32 asInt(F32 a) { return {_mm256_castps_si256(a.v)}; }
WW_INLINE F32 asFloat(I32 a) { return {_mm256_castsi256_ps(a.v)}; }
template <int N> WW_INLINE I32 shiftLeft(I32 a) { return {_mm256_slli_epi32(a.v, N)}; }
template <int N> WW_INLINE I32 shiftRight(I32 a) { return {_mm256_srli_epi32(a.v, N)}; }
WW_INLINE I32 operator+(I32 a, I32 b) { return {_mm256_add_epi32(a.v, b.v)}; }
WW_INLINE I32 operator-(I32 a, I32 b) { return {_mm256_sub_epi32(a.v, b.v)}; }
WW_INLINE I32 operator&(I32 a, I32 b) { return {_mm256_and_si256(a.v, b.v)}; }
WW_INLINE I32 operator|(I32 a, I32 b) { return {_mm256_or_si256(a.v, b.v)}; }

}  // namespace warpweft::cpu::WW_ISA
