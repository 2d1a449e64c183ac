#pragma once
// e^x for the x <= 0 of a softmax.
#include "cpu/simd/simd.hpp"

namespace warpweft::cpu::WW_ISA {

// A third cheaper than exp, and never a denormal (some processors need a hundred cycles for each): exactly 0 below -87, where e^x < 2e-38. Correct up to 87, so
// that x may exceed 0 by rounding. 2 ulp; NaN stays. Cody and Waite's reduction and the polynomial of exp.
WW_INLINE F32 expNonPositive(F32 x) {
  const F32 clamped = max(splat(-87.f), x);   // NaN survives as the second operand
  const F32 n = round(clamped * splat(1.44269504088896341f));
  F32 r = fnma(n, splat(0.693359375f), clamped);
  r = fnma(n, splat(-2.12194440e-4f), r);
  F32 p = splat(1.9875691500e-4f);
  p = fma(p, r, splat(1.3981999507e-3f));
  p = fma(p, r, splat(8.3334519073e-3f));
  p = fma(p, r, splat(4.1665795894e-2f));
  p = fma(p, r, splat(1.6666665459e-1f));
  p = fma(p, r, splat(5.0000001201e-1f));
  p = fma(p, r * r, r + splat(1.f));
  // n goes into the exponent of p. At n = -126, the least, r > 0 and p > 1: the result is normal.
  const F32 e = asFloat(asInt(p) + shiftLeft<23>(toInt(n)));
  return select(lt(x, splat(-87.f)), zero(), e);
}

}  // namespace warpweft::cpu::WW_ISA
