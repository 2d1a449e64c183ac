#pragma once
// What register tiles of a matrix product need: vectors of panel elements. An element is a float, or a pair of bfloat16 that are neighbours in depth where the
// processor multiplies and adds such pairs in one instruction (kPairs). That instruction takes denormals for zero.
#include "cpu/simd/simd.hpp"

namespace warpweft::cpu::WW_ISA {

// An element in depth, `kSteps` deep.
template <class E> inline constexpr int kSteps = 1;
template <class E> struct VectorOf { using type = F32; };

WW_INLINE F32 splatElement(const float* p) { return splat(*p); }
template <class T> WW_INLINE F32 loadElements(const T* p) { return load(p); }
WW_INLINE F32 multiplyAdd(F32 a, F32 b, F32 c) { return fma(a, b, c); }

struct Pair { uint32_t bits; };
template <> inline constexpr int kSteps<Pair> = 2;

#if defined(__AVX512BF16__)
inline constexpr bool kPairs = true;
struct Pairs { __m512i v; };
template <> struct VectorOf<Pair> { using type = Pairs; };

WW_INLINE Pairs splatElement(const Pair* p) { return {_mm512_set1_epi32(static_cast<int32_t>(p->bits))}; }
WW_INLINE Pairs loadElements(const Pair* p) { return {_mm512_loadu_si512(p)}; }
WW_INLINE F32 multiplyAdd(Pairs a, Pairs b, F32 c) { return {_mm512_dpbf16_ps(c.v, (__m512bh)a.v, (__m512bh)b.v)}; }

// n consecutive bfloat16 (0 <= n <= 2 kWidth) as pairs, zeros behind them.
WW_INLINE Pairs loadPairs(const bf16* p) { return {_mm512_loadu_si512(p)}; }
WW_INLINE Pairs loadPairsPartial(const bf16* p, int64_t n) {
  return {_mm512_maskz_loadu_epi16(static_cast<__mmask32>(n >= 32 ? 0xFFFFFFFFu : (1u << n) - 1u), p)};
}
// Pairs of the lanes of two float vectors that hold bfloat16 values exactly.
WW_INLINE Pairs pairsOf(F32 first, F32 second) {
  return {_mm512_or_si512(_mm512_srli_epi32(_mm512_castps_si512(first.v), 16), _mm512_castps_si512(second.v))};
}
WW_INLINE F32 sumOfPairs(Pairs x) {
  return {_mm512_add_ps(_mm512_castsi512_ps(_mm512_slli_epi32(x.v, 16)), _mm512_castsi512_ps(_mm512_and_si512(x.v, _mm512_set1_epi32(static_cast<int32_t>(0xFFFF0000u)))))};
}
WW_INLINE F32 asFloat(Pairs x) { return {_mm512_castsi512_ps(x.v)}; }
#else
inline constexpr bool kPairs = false;
#endif

}  // namespace warpweft::cpu::WW_ISA
