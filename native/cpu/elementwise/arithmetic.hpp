#pragma once
// The functions of ops/binary.hpp over adjacent elements. A scalar operand is a block filled with it.
#include "cpu/elementwise/block.hpp"
#include "ops/binary.hpp"

namespace warpweft::cpu::WW_ISA {

template <class T> using Arithmetic = void (*)(const T* a, const T* b, T* y, int64_t n);

namespace {

template <class F> void floatsOf(const float* a, const float* b, float* y, int64_t n) {
  map(a, b, y, n, [](F32 u, F32 v) { return F{}(u, v); });
}
template <class F> void floatsByElement(const float* a, const float* b, float* y, int64_t n) {
  for (int64_t i = 0; i < n; i++) y[i] = F{}(a[i], b[i]);
}
template <class F> void integersOf(const int64_t* a, const int64_t* b, int64_t* y, int64_t n) {
  for (int64_t i = 0; i < n; i++) y[i] = F{}(a[i], b[i]);
}
template <class F> constexpr Arithmetic<float> floats(F) { return floatsOf<F>; }
template <class F> constexpr Arithmetic<float> elements(F) { return floatsByElement<F>; }
template <class F> constexpr Arithmetic<int64_t> integers(F) { return integersOf<F>; }

WW_INLINE F32 truth(M32 m) { return andMask(m, splat(1.f)); }
WW_INLINE F32 isTrue(F32 x) { return truth(ne(x, zero())); }

// The remainder with the sign of b, and a / b rounded toward minus infinity consistently with it (as CPython's float_divmod).
WW_INLINE bool signsDiffer(float r, float b) { return r != 0.f && (b < 0.f) != (r < 0.f); }
WW_INLINE float flooredRemainder(float a, float b) {
  const float r = __builtin_fmodf(a, b);
  return signsDiffer(r, b) ? r + b : r;
}
WW_INLINE float flooredQuotient(float a, float b) {
  if (b == 0.f) return a / b;
  const float r = __builtin_fmodf(a, b), q = (a - r) / b - (signsDiffer(r, b) ? 1.f : 0.f);
  if (q == 0.f) return __builtin_copysignf(0.f, a / b);
  const float down = __builtin_floorf(q);
  return q - down > 0.5f ? down + 1.f : down;
}

inline Arithmetic<float> floatArithmetic(BinaryOp op) {
  switch (op) {
    case BinaryOp::add: return floats([](F32 a, F32 b) { return a + b; });
    case BinaryOp::sub: return floats([](F32 a, F32 b) { return a - b; });
    case BinaryOp::mul: return floats([](F32 a, F32 b) { return a * b; });
    case BinaryOp::div: return floats([](F32 a, F32 b) { return a / b; });
    case BinaryOp::pow: return elements([](float a, float b) { return __builtin_powf(a, b); });
    case BinaryOp::max: return floats([](F32 a, F32 b) { return select(isNan(a), a, max(a, b)); });
    case BinaryOp::min: return floats([](F32 a, F32 b) { return select(isNan(a), a, min(a, b)); });
    case BinaryOp::floorDivide: return elements([](float a, float b) { return flooredQuotient(a, b); });
    case BinaryOp::remainder: return elements([](float a, float b) { return flooredRemainder(a, b); });
    case BinaryOp::eq: return floats([](F32 a, F32 b) { return truth(eq(a, b)); });
    case BinaryOp::ne: return floats([](F32 a, F32 b) { return truth(ne(a, b)); });
    case BinaryOp::lt: return floats([](F32 a, F32 b) { return truth(lt(a, b)); });
    case BinaryOp::le: return floats([](F32 a, F32 b) { return truth(le(a, b)); });
    case BinaryOp::gt: return floats([](F32 a, F32 b) { return truth(gt(a, b)); });
    case BinaryOp::ge: return floats([](F32 a, F32 b) { return truth(ge(a, b)); });
    case BinaryOp::logicalAnd: return floats([](F32 a, F32 b) { return isTrue(a) * isTrue(b); });
    case BinaryOp::logicalOr: return floats([](F32 a, F32 b) { return isTrue(a) + isTrue(b); });
    default: return floats([](F32 a, F32 b) { return isTrue(a) - isTrue(b); });   // logicalXor: anything but 0 is true
  }
}

// Two's complement, without undefined overflow.
WW_INLINE int64_t wrapped(uint64_t x) { return static_cast<int64_t>(x); }
WW_INLINE uint64_t bits(int64_t x) { return static_cast<uint64_t>(x); }
WW_INLINE int64_t quotient(int64_t a, int64_t b) { return b == 0 ? 0 : b == -1 ? wrapped(-bits(a)) : a / b; }
WW_INLINE int64_t flooredRemainder(int64_t a, int64_t b) {
  if (b == 0 || b == -1) return 0;
  const int64_t r = a % b;
  return r != 0 && (b < 0) != (r < 0) ? r + b : r;
}
WW_INLINE int64_t power(int64_t a, int64_t b) {
  if (b < 0) return a == 1 ? 1 : a == -1 ? (b % 2 ? -1 : 1) : 0;
  uint64_t result = 1, base = bits(a);
  for (; b; b >>= 1, base *= base)
    if (b & 1) result *= base;
  return wrapped(result);
}

inline Arithmetic<int64_t> integerArithmetic(BinaryOp op) {
  using I = int64_t;
  switch (op) {
    case BinaryOp::add: return integers([](I a, I b) { return wrapped(bits(a) + bits(b)); });
    case BinaryOp::sub: return integers([](I a, I b) { return wrapped(bits(a) - bits(b)); });
    case BinaryOp::mul: return integers([](I a, I b) { return wrapped(bits(a) * bits(b)); });
    case BinaryOp::div: return integers([](I a, I b) { return quotient(a, b); });
    case BinaryOp::pow: return integers([](I a, I b) { return power(a, b); });
    case BinaryOp::max: return integers([](I a, I b) { return a > b ? a : b; });
    case BinaryOp::min: return integers([](I a, I b) { return a < b ? a : b; });
    case BinaryOp::floorDivide: return integers([](I a, I b) { return quotient(wrapped(bits(a) - bits(flooredRemainder(a, b))), b); });
    case BinaryOp::remainder: return integers([](I a, I b) { return flooredRemainder(a, b); });
    case BinaryOp::eq: return integers([](I a, I b) { return I{a == b}; });
    case BinaryOp::ne: return integers([](I a, I b) { return I{a != b}; });
    case BinaryOp::lt: return integers([](I a, I b) { return I{a < b}; });
    case BinaryOp::le: return integers([](I a, I b) { return I{a <= b}; });
    case BinaryOp::gt: return integers([](I a, I b) { return I{a > b}; });
    case BinaryOp::ge: return integers([](I a, I b) { return I{a >= b}; });
    case BinaryOp::logicalAnd: return integers([](I a, I b) { return I{a != 0 && b != 0}; });
    case BinaryOp::logicalOr: return integers([](I a, I b) { return I{a != 0 || b != 0}; });
    default: return integers([](I a, I b) { return I{(a != 0) != (b != 0)}; });   // logicalXor
  }
}

}  // namespace
}  // namespace warpweft::cpu::WW_ISA
