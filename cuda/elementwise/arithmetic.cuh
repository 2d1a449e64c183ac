#pragma once
// The functions of ops/binary.hpp, on float32 and on int64.
#include "cuda/device/math.cuh"
#include "ops/binary.hpp"

namespace warpweft::cuda {

// The remainder with the sign of b, and a / b rounded toward minus infinity consistently with it (as CPython's float_divmod).
WW_DEVICE bool signsDiffer(float r, float b) { return r != 0.f && (b < 0.f) != (r < 0.f); }
WW_DEVICE float flooredRemainder(float a, float b) {
  const float r = library::fmod(a, b);
  return signsDiffer(r, b) ? r + b : r;
}
WW_DEVICE float flooredQuotient(float a, float b) {
  if (b == 0.f) return a / b;
  const float r = library::fmod(a, b), q = (a - r) / b - (signsDiffer(r, b) ? 1.f : 0.f);
  if (q == 0.f) return library::copysign(0.f, a / b);
  const float down = library::floor(q);
  return q - down > 0.5f ? down + 1.f : down;
}

WW_DEVICE float arithmetic(BinaryOp op, float a, float b) {
  switch (op) {
    case BinaryOp::add: return a + b;
    case BinaryOp::sub: return a - b;
    case BinaryOp::mul: return a * b;
    case BinaryOp::div: return a / b;
    case BinaryOp::pow: return library::pow(a, b);
    case BinaryOp::max: return maximum(a, b);
    case BinaryOp::min: return minimum(a, b);
    case BinaryOp::floorDivide: return flooredQuotient(a, b);
    case BinaryOp::remainder: return flooredRemainder(a, b);
    case BinaryOp::eq: return static_cast<float>(a == b);
    case BinaryOp::ne: return static_cast<float>(a != b);
    case BinaryOp::lt: return static_cast<float>(a < b);
    case BinaryOp::le: return static_cast<float>(a <= b);
    case BinaryOp::gt: return static_cast<float>(a > b);
    case BinaryOp::ge: return static_cast<float>(a >= b);
    case BinaryOp::logicalAnd: return static_cast<float>(a != 0.f && b != 0.f);
    case BinaryOp::logicalOr: return static_cast<float>(a != 0.f || b != 0.f);
    default: return static_cast<float>((a != 0.f) != (b != 0.f));   // logicalXor
  }
}

// Two's complement, without undefined overflow.
WW_DEVICE int64_t wrapped(uint64_t x) { return static_cast<int64_t>(x); }
WW_DEVICE uint64_t unsignedOf(int64_t x) { return static_cast<uint64_t>(x); }
WW_DEVICE int64_t quotient(int64_t a, int64_t b) { return b == 0 ? 0 : b == -1 ? wrapped(-unsignedOf(a)) : a / b; }
WW_DEVICE int64_t flooredRemainder(int64_t a, int64_t b) {
  if (b == 0 || b == -1) return 0;
  const int64_t r = a % b;
  return r != 0 && (b < 0) != (r < 0) ? r + b : r;
}
WW_DEVICE int64_t power(int64_t a, int64_t b) {
  if (b < 0) return a == 1 ? 1 : a == -1 ? (b % 2 ? -1 : 1) : 0;
  uint64_t result = 1, base = unsignedOf(a);
  for (; b; b >>= 1, base *= base)
    if (b & 1) result *= base;
  return wrapped(result);
}

WW_DEVICE int64_t arithmetic(BinaryOp op, int64_t a, int64_t b) {
  switch (op) {
    case BinaryOp::add: return wrapped(unsignedOf(a) + unsignedOf(b));
    case BinaryOp::sub: return wrapped(unsignedOf(a) - unsignedOf(b));
    case BinaryOp::mul: return wrapped(unsignedOf(a) * unsignedOf(b));
    case BinaryOp::div: return quotient(a, b);
    case BinaryOp::pow: return power(a, b);
    case BinaryOp::max: return a > b ? a : b;
    case BinaryOp::min: return a < b ? a : b;
    case BinaryOp::floorDivide: return quotient(wrapped(unsignedOf(a) - unsignedOf(flooredRemainder(a, b))), b);
    case BinaryOp::remainder: return flooredRemainder(a, b);
    case BinaryOp::eq: return int64_t{a == b};
    case BinaryOp::ne: return int64_t{a != b};
    case BinaryOp::lt: return int64_t{a < b};
    case BinaryOp::le: return int64_t{a <= b};
    case BinaryOp::gt: return int64_t{a > b};
    case BinaryOp::ge: return int64_t{a >= b};
    case BinaryOp::logicalAnd: return int64_t{a != 0 && b != 0};
    case BinaryOp::logicalOr: return int64_t{a != 0 || b != 0};
    default: return int64_t{(a != 0) != (b != 0)};   // logicalXor
  }
}

}  // namespace warpweft::cuda
