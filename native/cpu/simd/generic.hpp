#pragma once
// Four lanes by the compilers' vector extension: SSE2, NEON, or whatever the target has.
#include "cpu/simd/half.hpp"

namespace warpweft::cpu::WW_ISA {

inline constexpr int kWidth = 4;
typedef float FloatLanes __attribute__((vector_size(16)));
typedef int32_t IntLanes __attribute__((vector_size(16)));
struct F32 { FloatLanes v; };
struct I32 { IntLanes v; };
struct M32 { IntLanes v; };

WW_INLINE F32 splat(float x) { return {FloatLanes{x, x, x, x}}; }
WW_INLINE F32 zero() { return splat(0.f); }
WW_INLINE F32 iota() { return {FloatLanes{0.f, 1.f, 2.f, 3.f}}; }
WW_INLINE I32 splatInt(int32_t x) { return {IntLanes{x, x, x, x}}; }

template <class T> WW_INLINE F32 loadPartial(const T* p, int64_t n) {
  F32 r = zero();
  for (int i = 0; i < kWidth; i++) if (i < n) r.v[i] = toFloat(p[i]);
  return r;
}
template <class T> WW_INLINE void storePartial(T* p, F32 x, int64_t n) {
  for (int i = 0; i < kWidth; i++) if (i < n) p[i] = fromFloat<T>(x.v[i]);
}
WW_INLINE F32 load(const float* p) { F32 r; std::memcpy(&r.v, p, 16); return r; }
WW_INLINE F32 load(const bf16* p) { return loadPartial(p, kWidth); }
WW_INLINE F32 load(const f16* p) { return loadPartial(p, kWidth); }
WW_INLINE void store(float* p, F32 x) { std::memcpy(p, &x.v, 16); }
WW_INLINE void store(bf16* p, F32 x) { storePartial(p, x, kWidth); }
WW_INLINE void store(f16* p, F32 x) { storePartial(p, x, kWidth); }

WW_INLINE F32 operator+(F32 a, F32 b) { return {a.v + b.v}; }
WW_INLINE F32 operator-(F32 a, F32 b) { return {a.v - b.v}; }
WW_INLINE F32 operator*(F32 a, F32 b) { return {a.v * b.v}; }
WW_INLINE F32 operator/(F32 a, F32 b) { return {a.v / b.v}; }
WW_INLINE F32 fma(F32 a, F32 b, F32 c) { return {a.v * b.v + c.v}; }
WW_INLINE F32 fnma(F32 a, F32 b, F32 c) { return {c.v - a.v * b.v}; }

WW_INLINE M32 lt(F32 a, F32 b) { return {a.v < b.v}; }
WW_INLINE M32 le(F32 a, F32 b) { return {a.v <= b.v}; }
WW_INLINE M32 gt(F32 a, F32 b) { return {a.v > b.v}; }
WW_INLINE M32 ge(F32 a, F32 b) { return {a.v >= b.v}; }
WW_INLINE M32 eq(F32 a, F32 b) { return {a.v == b.v}; }
WW_INLINE M32 ne(F32 a, F32 b) { return {a.v != b.v}; }
WW_INLINE M32 isNan(F32 a) { return {a.v != a.v}; }
WW_INLINE I32 asInt(F32 a) { I32 r; std::memcpy(&r.v, &a.v, 16); return r; }
WW_INLINE F32 asFloat(I32 a) { F32 r; std::memcpy(&r.v, &a.v, 16); return r; }
WW_INLINE F32 andMask(M32 m, F32 a) { return asFloat({m.v & asInt(a).v}); }
WW_INLINE F32 select(M32 m, F32 a, F32 b) { return asFloat({(m.v & asInt(a).v) | (~m.v & asInt(b).v)}); }
WW_INLINE bool any(M32 m) { return (m.v[0] | m.v[1] | m.v[2] | m.v[3]) != 0; }
WW_INLINE bool all(M32 m) { return (m.v[0] & m.v[1] & m.v[2] & m.v[3]) != 0; }
WW_INLINE F32 max(F32 a, F32 b) { return select(gt(a, b), a, b); }
WW_INLINE F32 min(F32 a, F32 b) { return select(lt(a, b), a, b); }
WW_INLINE F32 sqrt(F32 a) { for (int i = 0; i < kWidth; i++) a.v[i] = __builtin_sqrtf(a.v[i]); return a; }
WW_INLINE F32 abs(F32 a) { return asFloat({asInt(a).v & splatInt(0x7FFFFFFF).v}); }
WW_INLINE F32 floor(F32 a) { for (int i = 0; i < kWidth; i++) a.v[i] = __builtin_floorf(a.v[i]); return a; }
WW_INLINE F32 round(F32 a) { for (int i = 0; i < kWidth; i++) a.v[i] = __builtin_rintf(a.v[i]); return a; }

WW_INLINE float sum(F32 a) { return (a.v[0] + a.v[2]) + (a.v[1] + a.v[3]); }
WW_INLINE float maxOf(F32 a) {
  const float x = a.v[0] > a.v[1] ? a.v[0] : a.v[1], y = a.v[2] > a.v[3] ? a.v[2] : a.v[3];
  return x > y ? x : y;
}
WW_INLINE float minOf(F32 a) {
  const float x = a.v[0] < a.v[1] ? a.v[0] : a.v[1], y = a.v[2] < a.v[3] ? a.v[2] : a.v[3];
  return x < y ? x : y;
}

WW_INLINE I32 toInt(F32 a) { I32 r; for (int i = 0; i < kWidth; i++) r.v[i] = static_cast<int32_t>(__builtin_rintf(a.v[i])); return r; }
WW_INLINE F32 toFloat(I32 a) { F32 r; for (int i = 0; i < kWidth; i++) r.v[i] = static_cast<float>(a.v[i]); return r; }
template <int N> WW_INLINE I32 shiftLeft(I32 a) { return {a.v << N}; }
template <int N> WW_INLINE I32 shiftRight(I32 a) {
  typedef uint32_t U __attribute__((vector_size(16)));
  U u; std::memcpy(&u, &a.v, 16); u >>= N;
  I32 r; std::memcpy(&r.v, &u, 16); return r;
}
WW_INLINE I32 operator+(I32 a, I32 b) { return {a.v + b.v}; }
WW_INLINE I32 operator-(I32 a, I32 b) { return {a.v - b.v}; }
WW_INLINE I32 operator&(I32 a, I32 b) { return {a.v & b.v}; }
WW_INLINE I32 operator|(I32 a, I32 b) { return {a.v | b.v}; }

}  // namespace warpweft::cpu::WW_ISA
