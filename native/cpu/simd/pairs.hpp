#pragma once
// Neighbouring lanes as pairs: what turns (a, b) at (2i, 2i + 1).
//
//   swapped(v)            lanes 1 0 3 2 5 4 …
//   forPairs(p, lanes)    p[0] p[0] p[1] p[1] …: a number for each pair of a row; reads no more than half as many as the row has lanes
//   alternating()         -1 1 -1 1 …
#include "cpu/simd/lanes.hpp"

namespace warpweft::cpu::WW_ISA {

#if defined(__AVX512F__)
WW_INLINE F32 swapped(F32 v) { return {_mm512_permute_ps(v.v, 0xB1)}; }
WW_INLINE F32 spread(F32 v) { return {_mm512_permutexvar_ps(_mm512_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7), v.v)}; }
WW_INLINE F32 alternating() { return {_mm512_set_ps(1, -1, 1, -1, 1, -1, 1, -1, 1, -1, 1, -1, 1, -1, 1, -1)}; }
#elif defined(__AVX2__)
WW_INLINE F32 swapped(F32 v) { return {_mm256_permute_ps(v.v, 0xB1)}; }
WW_INLINE F32 spread(F32 v) { return {_mm256_permutevar8x32_ps(v.v, _mm256_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3))}; }
WW_INLINE F32 alternating() { return {_mm256_set_ps(1, -1, 1, -1, 1, -1, 1, -1)}; }
#else
WW_INLINE F32 swapped(F32 v) { return {FloatLanes{v.v[1], v.v[0], v.v[3], v.v[2]}}; }
WW_INLINE F32 spread(F32 v) { return {FloatLanes{v.v[0], v.v[0], v.v[1], v.v[1]}}; }
WW_INLINE F32 alternating() { return {FloatLanes{-1.f, 1.f, -1.f, 1.f}}; }
#endif

WW_INLINE F32 forPairs(const float* p, Whole) { return spread(loadPartial(p, kWidth / 2)); }
WW_INLINE F32 forPairs(const float* p, Part lanes) { return spread(loadPartial(p, lanes.n / 2)); }

}  // namespace warpweft::cpu::WW_ISA
