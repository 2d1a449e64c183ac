#pragma once
#include <immintrin.h>

#include "cpu/simd/half.hpp"

namespace warpweft::cpu::WW_ISA {

inline constexpr int kWidth = 16;
struct F32 { __m512 v; };
struct I32 { __m512i v; };
struct M32 { __mmask16 v; };

WW_INLINE __mmask16 firstLanes(int64_t n) { return static_cast<__mmask16>(n >= 16 ? 0xFFFFu : (1u << n) - 1u); }

WW_INLINE F32 splat(float x) { return {_mm512_set1_ps(x)}; }
WW_INLINE F32 zero() { return {_mm512_setzero_ps()}; }
WW_INLINE F32 iota() { return {_mm512_setr_ps(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15)}; }
WW_INLINE I32 splatInt(int32_t x) { return {_mm512_set1_epi32(x)}; }

WW_INLINE F32 load(const float* p) { return {_mm512_loadu_ps(p)}; }
WW_INLINE F32 load(const bf16* p) {
  return {_mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p))), 16))};
}
WW_INLINE F32 load(const f16* p) { return {_mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)))}; }
WW_INLINE F32 loadPartial(const float* p, int64_t n) { return {_mm512_maskz_loadu_ps(firstLanes(n), p)}; }
WW_INLINE F32 loadPartial(const bf16* p, int64_t n) {
  return {_mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(firstLanes(n), p)), 16))};
}
WW_INLINE F32 loadPartial(const f16* p, int64_t n) { return {_mm512_cvtph_ps(_mm256_maskz_loadu_epi16(firstLanes(n), p))}; }

// The instruction takes denormals for zeros, so they are rounded in integers.
__attribute__((noinline, cold)) static __m256i roundDenormalsBf16(__m512 x, __mmask16 denormal, __m256i rest) {
  const __m512i u = _mm512_castps_si512(x), odd = _mm512_and_si512(_mm512_srli_epi32(u, 16), _mm512_set1_epi32(1));
  const __m512i rounded = _mm512_srli_epi32(_mm512_add_epi32(u, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7FFF))), 16);
  return _mm256_mask_mov_epi16(rest, denormal, _mm512_cvtepi32_epi16(rounded));
}
WW_INLINE __m256i roundBf16(F32 x) {
  __m256i y;
  const __m256bh rounded = _mm512_cvtneps_pbh(x.v);
  std::memcpy(&y, &rounded, 32);
  const __mmask16 denormal = _mm512_fpclass_ps_mask(x.v, 0x20);
  return __builtin_expect(denormal != 0, 0) ? roundDenormalsBf16(x.v, denormal, y) : y;
}
WW_INLINE void store(float* p, F32 x) { _mm512_storeu_ps(p, x.v); }
WW_INLINE void store(bf16* p, F32 x) { _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), roundBf16(x)); }
WW_INLINE void store(f16* p, F32 x) { _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm512_cvtps_ph(x.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)); }
WW_INLINE void storePartial(float* p, F32 x, int64_t n) { _mm512_mask_storeu_ps(p, firstLanes(n), x.v); }
WW_INLINE void storePartial(bf16* p, F32 x, int64_t n) { _mm256_mask_storeu_epi16(p, firstLanes(n), roundBf16(x)); }
WW_INLINE void storePartial(f16* p, F32 x, int64_t n) {
  _mm256_mask_storeu_epi16(p, firstLanes(n), _mm512_cvtps_ph(x.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}

WW_INLINE F32 operator+(F32 a, F32 b) { return {_mm512_add_ps(a.v, b.v)}; }
WW_INLINE F32 operator-(F32 a, F32 b) { return {_mm512_sub_ps(a.v, b.v)}; }
WW_INLINE F32 operator*(F32 a, F32 b) { return {_mm512_mul_ps(a.v, b.v)}; }
WW_INLINE F32 operator/(F32 a, F32 b) { return {_mm512_div_ps(a.v, b.v)}; }
WW_INLINE F32 fma(F32 a, F32 b, F32 c) { return {_mm512_fmadd_ps(a.v, b.v, c.v)}; }
WW_INLINE F32 fnma(F32 a, F32 b, F32 c) { return {_mm512_fnmadd_ps(a.v, b.v, c.v)}; }
WW_INLINE F32 max(F32 a, F32 b) { return {_mm512_max_ps(a.v, b.v)}; }
WW_INLINE F32 min(F32 a, F32 b) { return {_mm512_min_ps(a.v, b.v)}; }
WW_INLINE F32 sqrt(F32 a) { return {_mm512_sqrt_ps(a.v)}; }
WW_INLINE F32 abs(F32 a) { return {_mm512_abs_ps(a.v)}; }
WW_INLINE F32 floor(F32 a) { return {_mm512_roundscale_ps(a.v, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC)}; }
WW_INLINE F32 round(F32 a) { return {_mm512_roundscale_ps(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)}; }

WW_INLINE M32 lt(F32 a, F32 b) { return {_mm512_cmp_ps_mask(a.v, b.v, _CMP_LT_OQ)}; }
WW_INLINE M32 le(F32 a, F32 b) { return {_mm512_cmp_ps_mask(a.v, b.v, _CMP_LE_OQ)}; }
WW_INLINE M32 gt(F32 a, F32 b) { return {_mm512_cmp_ps_mask(a.v, b.v, _CMP_GT_OQ)}; }
WW_INLINE M32 ge(F32 a, F32 b) { return {_mm512_cmp_ps_mask(a.v, b.v, _CMP_GE_OQ)}; }
WW_INLINE M32 eq(F32 a, F32 b) { return {_mm512_cmp_ps_mask(a.v, b.v, _CMP_EQ_OQ)}; }
WW_INLINE M32 ne(F32 a, F32 b) { return {_mm512_cmp_ps_mask(a.v, b.v, _CMP_NEQ_UQ)}; }
WW_INLINE M32 isNan(F32 a) { return {_mm512_cmp_ps_mask(a.v, a.v, _CMP_UNORD_Q)}; }
WW_INLINE F32 select(M32 m, F32 a, F32 b) { return {_mm512_mask_mov_ps(b.v, m.v, a.v)}; }
WW_INLINE F32 andMask(M32 m, F32 a) { return {_mm512_maskz_mov_ps(m.v, a.v)}; }
WW_INLINE bool any(M32 m) { return m.v != 0; }
WW_INLINE bool all(M32 m) { return m.v == 0xFFFF; }

WW_INLINE float sum(F32 a) { return _mm512_reduce_add_ps(a.v); }
WW_INLINE float maxOf(F32 a) { return _mm512_reduce_max_ps(a.v); }
WW_INLINE float minOf(F32 a) { return _mm512_reduce_min_ps(a.v); }

WW_INLINE I32 toInt(F32 a) { return {_mm512_cvtps_epi32(a.v)}; }
WW_INLINE F32 toFloat(I32 a) { return {_mm512_cvtepi32_ps(a.v)}; }
WW_INLINE I32 asInt(F32 a) { return {_mm512_castps_si512(a.v)}; }
WW_INLINE F32 asFloat(I32 a) { return {_mm512_castsi512_ps(a.v)}; }
template <int N> WW_INLINE I32 shiftLeft(I32 a) { return {_mm512_slli_epi32(a.v, N)}; }
template <int N> WW_INLINE I32 shiftRight(I32 a) { return {_mm512_srli_epi32(a.v, N)}; }
WW_INLINE I32 operator+(I32 a, I32 b) { return {_mm512_add_epi32(a.v, b.v)}; }
WW_INLINE I32 operator-(I32 a, I32 b) { return {_mm512_sub_epi32(a.v, b.v)}; }
WW_INLINE I32 operator&(I32 a, I32 b) { return {_mm512_and_si512(a.v, b.v)}; }
WW_INLINE I32 operator|(I32 a, I32 b) { return {_mm512_or_si512(a.v, b.v)}; }

}  // namespace warpweft::cpu::WW_ISA
